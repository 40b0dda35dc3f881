"""A whole system of real processes for one test, and an outsider's look at its topics."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any

import grpc
from kafka import KafkaConsumer, TopicPartition
from market_supervision.alerts.v1.alert_pb2 import AlertRecord
from market_supervision.complaints.v1 import complaints_intake_service_pb2 as complaints_messages
from market_supervision.complaints.v1.complaints_intake_service_pb2_grpc import (
    ComplaintsIntakeServiceStub,
)
from market_supervision.inspections.v1 import inspections_intake_service_pb2 as inspections_messages
from market_supervision.inspections.v1.inspections_intake_service_pb2_grpc import (
    InspectionsIntakeServiceStub,
)
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.lifecycle.v1.state_pb2 import RecordCounts
from market_supervision.penalties.v1 import penalties_intake_service_pb2 as penalties_messages
from market_supervision.penalties.v1.penalties_intake_service_pb2_grpc import (
    PenaltiesIntakeServiceStub,
)
from market_supervision.registration.v1 import (
    registration_intake_service_pb2 as registration_messages,
)
from market_supervision.registration.v1.registration_intake_service_pb2_grpc import (
    RegistrationIntakeServiceStub,
)

from services.contracts import state_keys, topics
from services.contracts.bundles import overridden, read_files
from services.contracts.families import FAMILIES, SOURCE_TOPICS, FamilyEvent, family_of
from services.contracts.state_keys import StateKind
from services.control.publishing import publish
from services.lifecycle.digest import ViewDigest, digest_records
from services.lifecycle.rules.rows import MAX_AGE_DAYS_MAX
from services.local.waiting import poll_until
from services.streaming.meta import META_KEY
from services.streaming.meta import decode as decode_meta

ALL_DAYS = MAX_AGE_DAYS_MAX
"""For rules that are to look back as far as any log goes, whatever day it is."""

STATE_MESSAGES: dict[StateKind, Any] = {
    StateKind.ENTITY: state_pb2.EntityState,
    StateKind.MATTER: state_pb2.MatterState,
    StateKind.SLOT_STUB: state_pb2.SlotStub,
    StateKind.MONTH: state_pb2.MonthBucket,
    StateKind.YEAR: state_pb2.YearBucket,
    StateKind.ALERT: state_pb2.AlertThread,
}


@dataclass(frozen=True, slots=True)
class Raw:
    """One record as it stands on a topic."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def read_topic(bootstrap_servers: str, short_name: str) -> list[Raw]:
    """Every committed record of a topic, in partition and offset order."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 << 20,
        fetch_max_bytes=32 << 20,
    )
    try:
        name = topics.name(short_name)
        partitions = [TopicPartition(name, n) for n in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Raw] = []
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            for tp, records in consumer.poll(timeout_ms=500, max_records=5000).items():
                found.extend(
                    Raw(tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                    for r in records
                )
        return sorted(found, key=lambda r: (r.partition, r.offset))
    finally:
        consumer.close()


def latest(records: Iterable[Raw]) -> dict[bytes, bytes]:
    """The latest value of each key within its partition; state keys do not repeat across them."""
    state: dict[tuple[int, bytes], bytes] = {}
    for record in records:
        state[record.partition, record.key or b""] = record.value
    return {key: value for (_partition, key), value in state.items()}


def view_digest(bootstrap_servers: str) -> ViewDigest:
    """Digest of the committed view."""
    return digest_records(latest(read_topic(bootstrap_servers, "lifecycle.v1")).items())


def alert_records(bootstrap_servers: str) -> list[AlertRecord]:
    """Every committed record of the alerts topic."""
    return [AlertRecord.FromString(r.value) for r in read_topic(bootstrap_servers, "alerts.v1")]


def counts(bootstrap_servers: str) -> RecordCounts:
    """What became of the records of the event topics, over all partitions."""
    names = {f"!counts|{topics.name(family.topic)}".encode() for family in FAMILIES}
    total = RecordCounts()
    state: dict[tuple[int, bytes], bytes] = {}
    for record in read_topic(bootstrap_servers, "lifecycle.v1"):
        if record.key in names:
            state[record.partition, record.key] = record.value
    for value in state.values():
        one = RecordCounts.FromString(value)
        total.applied += one.applied
        total.duplicates += one.duplicates
        total.superseded += one.superseded
        total.dead_lettered += one.dead_lettered
    return total


def records_on_log(bootstrap_servers: str) -> int:
    """Number of records on the four event topics."""
    return sum(len(read_topic(bootstrap_servers, family.topic)) for family in FAMILIES)


def accounted(total: RecordCounts) -> int:
    """Records that became something."""
    return total.applied + total.duplicates + total.superseded + total.dead_lettered


def wait_folded(bootstrap_servers: str, *, seconds: float = 120) -> RecordCounts:
    """Wait until every record on the event topics became something; return what."""
    on_log = records_on_log(bootstrap_servers)
    poll_until(
        lambda: accounted(counts(bootstrap_servers)) >= on_log,
        timeout_seconds=seconds,
        what=f"{on_log} records are folded",
        interval_seconds=0.5,
    )
    return counts(bootstrap_servers)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a log came to: equal for two runs over it, whatever happened to either."""

    view: ViewDigest
    alert_event_ids: tuple[str, ...]
    """Of every committed record of the alerts topic, sorted; a doubled one stands twice."""
    became: str
    """What became of the records of the event topics."""
    state: Mapping[bytes, bytes] = field(compare=False, repr=False)
    """The view itself, to tell what differs."""

    def explain(self, other: "Outcome") -> str:
        """Return where two outcomes differ; empty where they do not."""
        ours, theirs = self.view.entities, other.view.entities
        entities = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        prefixes = tuple(f"{entity}|".encode() for entity in entities)
        lines: list[str] = []
        for key in sorted(self.state.keys() | other.state.keys()):
            if key.startswith(prefixes):
                here = _readable(key, self.state.get(key, b""))
                there = _readable(key, other.state.get(key, b""))
                lines += unified_diff(here, there, f"this {key!r}", "other", n=2, lineterm="")
        alerts = set(self.alert_event_ids) ^ set(other.alert_event_ids)
        parts = {
            "entities that differ": entities[:5],
            "their records that differ, if only by positions": "\n".join(lines[:200]),
            "alerts of one only": sorted(alerts)[:5],
            "doubled": [i for i in self.alert_event_ids if self.alert_event_ids.count(i) > 1][:5],
            "counts": [] if self.became == other.became else [self.became, other.became],
        }
        return "; ".join(f"{name}: {value}" for name, value in parts.items() if value)


def _readable(key: bytes, value: bytes) -> list[str]:
    parsed = state_keys.parse(key)
    assert parsed is not None
    return str(STATE_MESSAGES[parsed.kind].FromString(value)).splitlines()


def outcome(bootstrap_servers: str) -> Outcome:
    """What the log of the current prefix came to, from the raw topics."""
    state = latest(read_topic(bootstrap_servers, "lifecycle.v1"))
    return Outcome(
        view=digest_records(state.items()),
        alert_event_ids=tuple(sorted(r.alert_event_id for r in alert_records(bootstrap_servers))),
        became=str(counts(bootstrap_servers)),
        state=state,
    )


def wait_applied(
    bootstrap_servers: str,
    *,
    seconds: float = 300,
    look_after: Callable[[], object] | None = None,
) -> None:
    """Wait until the newest META of each partition has passed every record lifecycle reads.

    ``look_after`` is called again and again meanwhile: a supervisor's look at its children.
    """
    ends = {
        (raw.partition, topics.name(short)): raw.offset
        for short in SOURCE_TOPICS
        for raw in read_topic(bootstrap_servers, short)
    }

    def missing() -> list[tuple[int, str]]:
        if look_after is not None:
            look_after()
        newest = {
            record.partition: decode_meta(record.value).applied
            for record in read_topic(bootstrap_servers, "lifecycle.v1")
            if record.key == META_KEY
        }
        return [
            (partition, topic)
            for (partition, topic), offset in ends.items()
            if topic not in newest.get(partition, {})
            or newest[partition][topic].next_offset <= offset
        ]

    poll_until(
        lambda: not missing(),
        timeout_seconds=seconds,
        what="everything on the log is applied",
        interval_seconds=2.0,
    )


def publish_rules(
    bootstrap_servers: str, *, max_age_days: int | None = None, timestamp_ms: int | None = None
) -> None:
    """Publish the committed rules.

    With ``max_age_days`` they look back that far; ``timestamp_ms`` is the records' time where
    topics take it from their writers.
    """
    files = read_files()
    if max_age_days is not None:
        files = overridden(files, {"max_age_days": max_age_days})
    publish(bootstrap_servers, files, timestamp_ms=timestamp_ms)


INTAKE_STUBS: dict[str, tuple[Any, Any]] = {
    "registration": (registration_messages, RegistrationIntakeServiceStub),
    "inspections": (inspections_messages, InspectionsIntakeServiceStub),
    "complaints": (complaints_messages, ComplaintsIntakeServiceStub),
    "penalties": (penalties_messages, PenaltiesIntakeServiceStub),
}


def submit(addresses: Mapping[str, str], *events: FamilyEvent) -> list[Receipt]:
    """Submit events one by one through the intakes of their families; return the receipts."""
    receipts = []
    with ExitStack() as stack:
        stubs = {}
        for name, (_messages, stub) in INTAKE_STUBS.items():
            stubs[name] = stub(stack.enter_context(grpc.insecure_channel(addresses[name])))
        for event in events:
            name = family_of(event).name
            request = INTAKE_STUBS[name][0].SubmitRequest(event=event)
            receipts.append(stubs[name].Submit(request, timeout=20).receipt)
    return receipts
