"""A whole partition in memory: records in, state, alerts and dead letters out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from market_supervision.alerts.v1.alert_pb2 import AlertRecord
from market_supervision.control.v1.control_pb2 import BundleFile, ControlRecord, Tick

from services.contracts.bundles import build_bundle, overridden, read_files
from services.contracts.families import FAMILIES, FamilyEvent, family_of
from services.contracts.identifiers import kafka_key
from services.lifecycle.step import LifecycleStep, StepTopics
from services.lifecycle.tests.fold_rig import DAY_MS, payload_hash, zone_of
from services.lifecycle.tests.memory_store import MemoryStore
from services.streaming.interface import SideRecord, SourceRecord
from services.streaming.unit_of_work import check_output

TOPICS = StepTopics(
    families={f"t.{family.name}": family for family in FAMILIES},
    control="t.control",
    timeline="t.timeline",
    alerts="t.alerts",
    dead_letter="t.dead-letter",
    links="t.links",
)
RECORD_BYTES_MAX = 1_900_000
"""What the worker lets a step write in one record."""
DAY_ZERO_MS = int(datetime(2026, 1, 1, 4, tzinfo=UTC).timestamp() * 1000)
"""Noon at +08:00 of 2026-01-01: test days count from it."""


def moment_of(day: float) -> int:
    """Stream time of a test day, in milliseconds."""
    return DAY_ZERO_MS + int(day * DAY_MS)


class StepRig:
    """One partition with its engine played by the test."""

    def __init__(self, files: list[BundleFile] | None = None, **overrides: Any) -> None:
        self.step = LifecycleStep(TOPICS, zone_of, ("uscc",))
        self.store = MemoryStore(self.step.local_index)
        self.side: list[SideRecord] = []
        self.stream_time_ms = 0
        self._offsets: dict[str, int] = {}
        rules = overridden(files if files is not None else read_files(), overrides)
        bundle = build_bundle(rules, 1, datetime(2000, 1, 1, tzinfo=UTC))
        self.control(ControlRecord(rule_bundle=bundle), day=-2000)
        refused = [dict(letter.headers)["dlq-reason-en"] for letter in self.on(TOPICS.dead_letter)]
        assert not refused, refused

    def record(
        self, topic: str, key: bytes | None, value: bytes | None, day: float
    ) -> SourceRecord:
        """A record appended on a test day."""
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + 1
        return SourceRecord(topic, 0, offset, moment_of(day), key, value, ())

    def run(self, *records: SourceRecord) -> None:
        """Give records to the step until it has taken all of them."""
        waiting = list(records)
        while waiting:
            output = self.step.run(waiting, self.store, self.stream_time_ms)
            check_output(output, len(waiting), RECORD_BYTES_MAX)
            taken = len(waiting) if output.taken is None else output.taken
            for record in waiting[:taken]:
                self.stream_time_ms = max(self.stream_time_ms, record.append_time_ms)
            waiting = waiting[taken:]
            self.store.commit(output.changelog, output.local)
            self.side.extend(output.side)

    def control(self, record: ControlRecord, day: float) -> None:
        """Append a control record."""
        self.run(self.record(TOPICS.control, b"c", record.SerializeToString(), day))

    def tick(self, day: float) -> None:
        """Let time pass to a test day."""
        self.control(ControlRecord(tick=Tick()), day)

    def feed(self, *events: FamilyEvent, day: float) -> None:
        """Append events on a test day, in one unit."""
        self.run(*(self.event_record(event, day) for event in events))

    def event_record(self, event: FamilyEvent, day: float) -> SourceRecord:
        """The record an intake would write."""
        topic = f"t.{family_of(event).name}"
        plain = self.record(
            topic, kafka_key(event.envelope.entity_key), event.SerializeToString(), day
        )
        headers = (("payload-hash", payload_hash(event).hex().encode()),)
        return plain._replace(headers=headers)

    def on(self, topic: str) -> list[SideRecord]:
        """What was written to a topic so far."""
        return [record for record in self.side if record.topic == topic]

    @property
    def alerts(self) -> list[AlertRecord]:
        """Records of the alerts topic."""
        return [AlertRecord.FromString(record.value) for record in self.on(TOPICS.alerts)]

    def open_threads(self) -> Mapping[str, int]:
        """Alert id → last transition, of threads whose last record leaves them open."""
        last = {record.alert.alert_id: record for record in self.alerts}
        return {key: record.transition for key, record in last.items() if record.alert.state == 1}
