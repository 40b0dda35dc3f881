"""Writes what the stream would write: by the agreed keys, and in transactions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from aiokafka import AIOKafkaProducer
from market_supervision.alerts.v1.alert_pb2 import (
    Alert,
    AlertRecord,
    AlertState,
    AlertTransition,
    Severity,
)
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from services.contracts import state_keys, topics
from services.readmodel.keys import partition_of
from services.streaming import meta
from services.streaming.meta import Applied, Meta

LIFECYCLE, TIMELINE, LINKS, ALERTS = "lifecycle.v1", "timeline.v1", "links.v1", "alerts.v1"


@dataclass
class Unit:
    """What one unit of work writes to one partition."""

    partition: int
    records: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def state(self, state: state_pb2.EntityState) -> None:
        """Add an entity's state."""
        key = state_keys.entity_state(state.entity_key)
        self.records.append((LIFECYCLE, key, state.SerializeToString(deterministic=True)))

    def alert(self, alert: Alert, transition: AlertTransition.ValueType) -> None:
        """Add an alert thread and its record."""
        thread = state_pb2.AlertThread(alert=alert)
        key = state_keys.alert_thread(alert.entity_key, alert.alert_id)
        self.records.append((LIFECYCLE, key, thread.SerializeToString(deterministic=True)))
        record = AlertRecord(
            alert_event_id=f"{alert.revision:08x}" + alert.alert_id[:24],
            transition=transition,
            alert=alert,
        )
        self.records.append((ALERTS, alert.entity_key.encode(), record.SerializeToString()))

    def entry(self, entity_key: str, entry: TimelineEntry) -> None:
        """Add a timeline entry."""
        key = f"{entity_key}|{entry.entry_id}".encode()
        self.records.append((TIMELINE, key, entry.SerializeToString(deterministic=True)))

    def link(self, from_key: str, to_key: str) -> None:
        """Add a link, or with an empty ``to_key`` its withdrawal."""
        link = state_pb2.LinkRecord(from_key=from_key, to_key=to_key, event_id="link")
        self.records.append((LINKS, from_key.encode(), link.SerializeToString()))


class ChangelogWriter:
    """Commits units; ``applied`` says how far the source topics are contained, per partition."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers, transactional_id=f"test-{id(self)}"
        )
        self._applied: dict[int, dict[str, Applied]] = {}
        self._units: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def commit(
        self, units: Sequence[Unit], applied: Mapping[str, Applied] | None = None
    ) -> None:
        """Write the units in one transaction, each closed by META in state and timeline topic.

        ``applied``: short name of a source topic → how far it is contained from now on.
        """
        async with self._producer.transaction():
            for unit in units:
                await self._write(unit, applied or {})

    async def abort(self, unit: Unit) -> None:
        """Write a unit in a transaction that is given up."""
        await self._producer.begin_transaction()
        await self._write(unit, {})
        await self._producer.flush()
        await self._producer.abort_transaction()

    async def _write(self, unit: Unit, applied: Mapping[str, Applied]) -> None:
        of_partition = self._applied.setdefault(unit.partition, {})
        of_partition.update({topics.name(topic): at for topic, at in applied.items()})
        self._units[unit.partition] = self._units.get(unit.partition, 0) + 1
        position = meta.encode(
            Meta(self._units[unit.partition], max([0, *_times(of_partition)]), of_partition)
        )
        for topic, key, value in (
            *unit.records,
            (LIFECYCLE, meta.META_KEY, position),
            (TIMELINE, meta.META_KEY, position),
        ):
            await self._producer.send(topics.name(topic), value, key=key, partition=unit.partition)


def _times(applied: Mapping[str, Applied]) -> list[int]:
    return [at.append_time_ms for at in applied.values()]


def unit_of(entity_key: str) -> Unit:
    """Return an empty unit for the partition of an entity."""
    return Unit(partition_of(entity_key))


def entity_state(entity_key: str, name: str) -> state_pb2.EntityState:
    """Return a small state: a name, and the fact that it was established."""
    return state_pb2.EntityState(
        entity_key=entity_key,
        claims=[
            state_pb2.AttributeClaim(
                attribute=state_pb2.ATTRIBUTE_KIND_NAME,
                value=name,
                event_time_ms=1_700_000_000_000,
                event_id="established",
                rank=1,
            )
        ],
        registration_facts=[
            state_pb2.StatusFact(
                kind="entity_established",
                event_time_ms=1_700_000_000_000,
                slot_key="registry/1",
                event_id="established",
            )
        ],
        first_event_time_ms=1_700_000_000_000,
        last_event_time_ms=1_700_000_000_000,
    )


def timeline_entry(number: int, *, time_ms: int, version: int = 1) -> TimelineEntry:
    """Return an entry of its own slot for each ``number``."""
    entry = TimelineEntry(
        entry_id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
        event_id=f"event-{number}-{version}",
        event_type="market_supervision.complaints.v1.complaint_received",
        source_record_id=str(number),
        source_version=version,
        disposition=Disposition.DISPOSITION_ASSERTED,
    )
    entry.event_time.FromMilliseconds(time_ms)
    return entry


def alert(
    entity_key: str,
    number: int,
    *,
    rule_id: str = "burst",
    severity: Severity.ValueType = Severity.SEVERITY_YELLOW,
    division: str = "442000",
    raised_ms: int = 1_700_000_000_000,
) -> Alert:
    """Return an open alert with an id of its own for each ``number``."""
    made = Alert(
        alert_id=f"{number:032x}",
        entity_key=entity_key,
        severity=severity,
        state=AlertState.ALERT_STATE_OPEN,
        revision=1,
    )
    made.rule.rule_id = rule_id
    made.division.code = division
    made.raised_time.FromMilliseconds(raised_ms)
    return made
