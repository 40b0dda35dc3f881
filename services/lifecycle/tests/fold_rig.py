"""Shared by the fold's tests: events made short, and a partition folded in memory."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf import json_format
from market_supervision.common.v1 import envelope_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import identifiers
from services.contracts.families import FAMILIES, FAMILY_BY_NAME, FamilyEvent, family_of
from services.lifecycle.decoding import DecodedEvent
from services.lifecycle.digest import ViewDigest, digest_records
from services.lifecycle.fold import Folded, fold_event
from services.lifecycle.folding.contribution import DayOf
from services.lifecycle.local_index import LocalIndex
from services.lifecycle.tests.memory_store import MemoryStore
from services.lifecycle.working_set import WorkingSet

EXAMPLES = Path(__file__).parents[3] / "protos" / "examples"
DAY_MS = 86_400_000
EAST_EIGHT_MS = 8 * 3_600_000


def day_of(moment_ms: int) -> int:
    """Civil day at +08:00."""
    return (moment_ms + EAST_EIGHT_MS) // DAY_MS


def zone_of(entity_key: str) -> DayOf:
    """Every test entity lies in the east."""
    del entity_key
    return day_of


def example(family: str, arm: str) -> FamilyEvent:
    """The canonical example of an event type."""
    event = FAMILY_BY_NAME[family].message_class()
    json_format.Parse((EXAMPLES / family / f"{arm}.json").read_text(), event)
    return event


def all_arms() -> list[tuple[str, str]]:
    """Every (family, arm) of the contract."""
    return [(family.name, arm) for family in FAMILIES for arm in family.arms]


def prepared(
    event: FamilyEvent,
    *,
    record: str = "r1",
    version: int = 1,
    entity: str = "91442000XX0000019R",
    matter: str = "test/m1",
    day: int | None = None,
    disposition: envelope_pb2.Disposition.ValueType = envelope_pb2.DISPOSITION_ASSERTED,
) -> FamilyEvent:
    """A copy of an event with another envelope; ``day`` counts from 2026-01-01, at 10:00 local."""
    copy: FamilyEvent = type(event).FromString(event.SerializeToString())
    envelope = copy.envelope
    envelope.source_system, envelope.source_record_id = "test", record
    envelope.source_version, envelope.disposition = version, disposition
    envelope.entity_key.scheme, envelope.entity_key.value = "uscc", entity
    envelope.matter_id = matter
    envelope.event_id = identifiers.event_id("test", record, version)
    if day is not None:
        start = datetime(2026, 1, 1, 2, tzinfo=UTC)
        envelope.event_time.FromMilliseconds(int(start.timestamp() * 1000) + day * DAY_MS)
    if disposition != envelope_pb2.DISPOSITION_ASSERTED:
        copy.ClearField("body")
    return copy


class Partition:
    """A partition in memory: fold, end the unit, look at the state."""

    def __init__(self) -> None:
        index = LocalIndex(zone_of)
        self.store = MemoryStore(index.changes)
        self.working = WorkingSet(self.store)
        self._offset = 0

    def fold(self, event: FamilyEvent, *, end_unit: bool = True) -> Folded:
        """Fold one event."""
        key = identifiers.canonical_key(event.envelope.entity_key)
        decoded = DecodedEvent.of(family_of(event), event, key, payload_hash(event))
        self._offset += 1
        folded = fold_event(self.working, decoded, self._offset, day_of)
        if end_unit:
            self.end_unit()
        return folded

    def fold_all(self, events: Iterable[FamilyEvent], *, unit: int = 1) -> "Partition":
        """Fold many events, ``unit`` of them a unit of work."""
        for number, event in enumerate(events, start=1):
            self.fold(event, end_unit=number % unit == 0)
        self.end_unit()
        return self

    def end_unit(self) -> dict[bytes, bytes]:
        """Write what the unit changed."""
        changelog, local = self.working.flush()
        self.store.commit(changelog, local)
        return changelog

    def entity(self, value: str = "91442000XX0000019R") -> state_pb2.EntityState:
        """The committed entity."""
        data = self.store.committed.get(f"uscc:{value}|e".encode(), b"")
        return state_pb2.EntityState.FromString(data)

    def digest(self) -> ViewDigest:
        """Digest of the committed state."""
        return digest_records(self.store.committed.items())


def payload_hash(event: FamilyEvent) -> bytes:
    """What an intake would put in the header."""
    return hashlib.sha256(event.SerializeToString(deterministic=True)).digest()
