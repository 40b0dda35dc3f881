"""A partition in memory that folds a drawn log: every event type, in courses nobody would expect.

The real step runs on a store in memory; what it read and wrote is kept as the raw topics would hold
it, so that a reader of raw topics can judge it. Same seed, same log.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from google.type.date_pb2 import Date
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_ASSERTED,
    DISPOSITION_MOVED,
    DISPOSITION_WITHDRAWN,
)
from market_supervision.control.v1.control_pb2 import ControlRecord, Tick

from integration_tests.judge.raw_log import (
    ALERTS,
    CONTROL,
    DEAD_LETTERS,
    EVENT_TOPICS,
    LINKS,
    STATE,
    TIMELINE,
    TOPICS,
    LogRecord,
    RawLog,
)
from services.contracts.bundles import build_bundle, overridden, read_files
from services.contracts.examples import load_example
from services.contracts.families import BODY_ONEOF, FAMILIES, FamilyEvent, family_of
from services.contracts.identifiers import event_id, kafka_key
from services.contracts.key_schemes import load_key_schemes
from services.lifecycle.app import zones
from services.lifecycle.local_index import LocalIndex
from services.lifecycle.step import LifecycleStep, StepTopics
from services.lifecycle.tests.memory_store import MemoryStore
from services.streaming.interface import SourceRecord, UnitOutput

PREFIX = "drawn."
SOURCE = "drawn"
BEGINS = datetime(2026, 1, 1, 4, tzinfo=UTC)
DAY_MS = 86_400_000
UNIT_RECORDS_MAX = 12

_TYPES = [(family, arm) for family in FAMILIES for arm in family.arms]
_DATES = {"valid_from_date", "valid_until_date", "last_valid_date", "due_date", "new_due_date"}
_FAVOURED = ("complaint_received", "penalty_decided", "inspection_completed", "licence_granted")
"""Types that rules look at; drawn more often."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a drawn log is like."""

    records: int = 300
    entities: int = 3
    matters: int = 8
    days: int = 200
    """Over which records are appended, and facts dated."""


@dataclass
class MemoryPartition:
    """One partition: gives records to the step, and keeps what stands on the topics."""

    max_age_days: int
    records: dict[str, list[LogRecord]] = field(default_factory=lambda: {t: [] for t in TOPICS})
    applied: dict[str, list[int]] = field(default_factory=dict)
    now_ms: int = 0

    def __post_init__(self) -> None:
        """Begin with the committed rules."""
        schemes = load_key_schemes()
        topics = StepTopics(
            families={PREFIX + family.topic: family for family in FAMILIES},
            control=PREFIX + CONTROL,
            timeline=PREFIX + TIMELINE,
            alerts=PREFIX + ALERTS,
            dead_letter=PREFIX + DEAD_LETTERS,
            links=PREFIX + LINKS,
        )
        self.step = LifecycleStep(topics, zones(schemes), tuple(schemes.by_name))
        self.store = MemoryStore(LocalIndex(zones(schemes)).changes)
        rules = overridden(read_files(), {"max_age_days": self.max_age_days})
        bundle = build_bundle(rules, 1, datetime(2000, 1, 1, tzinfo=UTC))
        self.run([self.append(CONTROL, b"c", _bytes(ControlRecord(rule_bundle=bundle)), 0)])

    def append(
        self, topic: str, key: bytes, value: bytes, time_ms: int, payload_hash: bytes = b""
    ) -> SourceRecord:
        """Put a record on a source topic."""
        headers = (("payload-hash", payload_hash.hex().encode()),) if payload_hash else ()
        offset = len(self.records[topic])
        self.records[topic].append(LogRecord(topic, 0, offset, time_ms, key, value, headers))
        return SourceRecord(PREFIX + topic, 0, offset, time_ms, key, value, headers)

    def run(self, waiting: list[SourceRecord]) -> None:
        """Give records to the step until it has taken all of them."""
        while waiting:
            output = self.step.run(waiting, self.store, self.now_ms)
            taken = len(waiting) if output.taken is None else output.taken
            self._commit(waiting[:taken], output)
            waiting = waiting[taken:]

    def put_aside(self, record: SourceRecord) -> None:
        """Put a record aside as the engine does when processes died on it."""
        self._commit([record], self.step.refuse(record, 3, self.store))

    def _commit(self, taken: list[SourceRecord], output: UnitOutput) -> None:
        for record in taken:
            self.now_ms = max(self.now_ms, record.append_time_ms)
            self.applied[record.topic] = [record.offset + 1, record.append_time_ms]
        self.store.commit(output.changelog, output.local)
        for key, value in output.changelog.items():
            self._written(STATE, key, value)
        for side in output.side:
            self._written(side.topic.removeprefix(PREFIX), side.key, side.value, side.headers)

    def _written(
        self, topic: str, key: bytes | None, value: bytes, headers: tuple[Any, ...] = ()
    ) -> None:
        offset = len(self.records[topic])
        self.records[topic].append(LogRecord(topic, 0, offset, self.now_ms, key, value, headers))

    def raw_log(self) -> RawLog:
        """Return the topics as they stand, with the position last in the state."""
        meta = {"applied": self.applied, "stream_time_ms": self.now_ms, "unit": 1, "v": 1}
        self._written(STATE, b"\x00meta", json.dumps(meta).encode())
        ends = {(topic, 0): len(records) for topic, records in self.records.items()}
        return RawLog(PREFIX, self.records, ends, 1)


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def draw_log(seed: int, shape: Shape, *, max_age_days: int = 36_500) -> RawLog:
    """Return the raw topics after a drawn log was folded in units of drawn sizes."""
    chance = random.Random(seed)
    partition = MemoryPartition(max_age_days)
    waiting = _records(chance, shape, partition)
    while unit := list(islice(waiting, chance.randint(1, UNIT_RECORDS_MAX))):
        partition.run(unit)
    return partition.raw_log()


def _records(
    chance: random.Random, shape: Shape, partition: MemoryPartition
) -> Iterator[SourceRecord]:
    """Append records one after the other, a millisecond or some hours apart."""
    sent: list[FamilyEvent] = []
    time_ms = int(BEGINS.timestamp() * 1000)
    step_ms = shape.days * DAY_MS // shape.records
    for _record in range(shape.records):
        time_ms += chance.choice((1, 1, chance.randint(1, 4 * step_ms)))
        if chance.random() < 0.08:
            tick = _bytes(ControlRecord(tick=Tick()))
            yield partition.append(CONTROL, b"tick|%d" % time_ms, tick, time_ms)
        if chance.random() < 0.02:
            topic = chance.choice(EVENT_TOPICS)
            yield partition.append(topic, b"poison", chance.randbytes(9), time_ms)
            continue
        for event in _drawn(chance, shape, sent):
            sent.append(event)
            payload_hash = bytes([chance.randrange(2)]) + b"\x07" * 31
            key = kafka_key(event.envelope.entity_key)
            topic = family_of(event).topic
            yield partition.append(topic, key, _bytes(event), time_ms, payload_hash)
    yield partition.append(CONTROL, b"last", _bytes(ControlRecord(tick=Tick())), time_ms + DAY_MS)


def _drawn(chance: random.Random, shape: Shape, sent: list[FamilyEvent]) -> Iterator[FamilyEvent]:
    """Yield a new fact, or another version of one that was sent, with MOVED where it leaves."""
    if not sent or chance.random() < 0.6:
        yield _fact(chance, shape, f"r{len(sent)}", chance.choice((1, 1, 2)))
        return
    before = chance.choice(sent)
    if chance.random() < 0.2:
        yield before
        return
    version = before.envelope.source_version + chance.choice((-1, 0, 1, 1, 1))
    after = type(before)()
    after.CopyFrom(before)  # type: ignore[arg-type]
    if before.envelope.disposition == DISPOSITION_ASSERTED and chance.random() < 0.5:
        after = _fact(chance, shape, before.envelope.source_record_id, 1, family_of(before).name)
    _stamp(after, max(1, version))
    if chance.random() < 0.3:
        after.envelope.disposition = DISPOSITION_WITHDRAWN
        after.ClearField(BODY_ONEOF)
    yield after
    old, new = before.envelope, after.envelope
    left = (old.entity_key, old.matter_id) != (new.entity_key, new.matter_id)
    if left and new.source_version > old.source_version:
        gone = type(before)()
        gone.envelope.CopyFrom(old)
        gone.envelope.disposition = DISPOSITION_MOVED
        _stamp(gone, new.source_version)
        yield gone


def _fact(
    chance: random.Random, shape: Shape, record: str, version: int, family: str = ""
) -> FamilyEvent:
    types = [(f.name, arm) for f, arm in _TYPES if not family or f.name == family]
    favoured = [pair for pair in types if pair[1] in _FAVOURED]
    event = load_example(*chance.choice(favoured * 3 + types))
    envelope = event.envelope
    envelope.source_system, envelope.source_record_id = SOURCE, record
    envelope.entity_key.scheme = "regno"
    envelope.entity_key.value = f"{chance.randrange(shape.entities):015d}"
    # Facts of one family mostly, else matters of all kinds would become heaps.
    matter = f"{family_of(event).name[:3]}{chance.randrange(shape.matters)}"
    envelope.matter_id = f"{SOURCE}/{matter}"
    moment = BEGINS + timedelta(days=chance.uniform(-40, shape.days))
    envelope.event_time.FromDatetime(moment)
    envelope.event_time.nanos = 0
    _redate(event, chance, moment.date(), shape.days)
    _stamp(event, version)
    return event


def _stamp(event: FamilyEvent, version: int) -> None:
    envelope = event.envelope
    envelope.source_version = version
    names = envelope.source_system, envelope.source_record_id
    envelope.event_id = event_id(*names, version)


def _redate(event: FamilyEvent, chance: random.Random, on: date, days: int) -> None:
    """Draw the dates of a body around the fact; now and then one that is no date."""
    body = getattr(event, event.WhichOneof(BODY_ONEOF) or "")
    for field_of, value in body.ListFields():
        if field_of.name in _DATES:
            day = on + timedelta(days=chance.randint(-30, days))
            value.CopyFrom(Date(year=day.year, month=day.month, day=day.day))
            if chance.random() < 0.02:
                value.day = 31
                value.month = 2
