"""Reads a record of an event topic into what the intake index remembers of it. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from google.protobuf.message import DecodeError
from market_supervision.common.v1.envelope_pb2 import Disposition, EntityKey

from services.contracts.families import SET_BY_INTAKE, Family, FamilyEvent
from services.contracts.identifiers import canonical_key
from services.intake.envelope_bounds import is_within_bounds
from services.intake.placement import Entry, Place, SourceKey, TailRecord

PAYLOAD_HASH_HEADER = "payload-hash"
"""Header with the SHA-256 of the request's canonical bytes, 64 lower-case hexadecimal digits."""

HASH_BYTES = 32


def payload_hash(event: FamilyEvent) -> bytes:
    """Return the SHA-256 of an event's canonical bytes, as its client sent it.

    Canonical bytes are protobuf's deterministic serialisation of the message. The fields an intake
    sets must be empty.
    """
    return hashlib.sha256(event.SerializeToString(deterministic=True)).digest()


def as_submitted(event: FamilyEvent) -> FamilyEvent:
    """Return a copy without what an intake adds, with the entity key that was sent."""
    submitted = type(event)()
    submitted.CopyFrom(event)  # type: ignore[arg-type]
    envelope = submitted.envelope
    if envelope.HasField("submitted_entity_key"):
        envelope.entity_key.CopyFrom(envelope.submitted_entity_key)
    for name in SET_BY_INTAKE:
        envelope.ClearField(name)
    return submitted


class LogRecord(Protocol):
    """A record as a consumer of the topic hands it over."""

    @property
    def partition(self) -> int:
        """Partition, from 0."""
        ...

    @property
    def offset(self) -> int:
        """Offset within the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """Append time, ms since 1970-01-01T00:00Z."""
        ...

    @property
    def value(self) -> bytes | None:
        """The payload."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """The headers, in order."""
        ...


def tail_record(family: Family, record: LogRecord) -> TailRecord | None:
    """Return what the index keeps of ``record``, None when it is no event an intake could take.

    Such bytes got on the topic past the intakes; they are nobody's receipt, and the stream
    quarantines them.
    """
    try:
        event = family.parse(record.value or b"")
    except DecodeError:
        return None
    envelope = event.envelope
    if not is_within_bounds(envelope):
        return None
    entity_key = canonical_key(envelope.entity_key)
    entry = Entry(
        partition=record.partition,
        offset=record.offset,
        append_time_ms=record.timestamp,
        payload_hash=_recorded_hash(record) or payload_hash(as_submitted(event)),
        entity_key=entity_key,
    )
    place = Place(
        entity_key=entity_key,
        submitted_key=_submitted_key(envelope.submitted_entity_key),
        matter_id=envelope.matter_id,
        version=envelope.source_version,
        moved_version=0,
        event_seconds=envelope.event_time.seconds,
        event_nanos=envelope.event_time.nanos,
        utc_offset_minutes=envelope.utc_offset_minutes,
    )
    key = SourceKey(envelope.source_system, envelope.source_record_id, envelope.source_version)
    is_moved = envelope.disposition == Disposition.DISPOSITION_MOVED
    return TailRecord(key, entry, place, is_moved)


def _recorded_hash(record: LogRecord) -> bytes | None:
    for name, value in record.headers:
        if name == PAYLOAD_HASH_HEADER and value is not None:
            try:
                found = bytes.fromhex(value.decode("ascii"))
            except ValueError:
                return None
            return found if len(found) == HASH_BYTES else None
    return None


def _submitted_key(key: EntityKey) -> str:
    return canonical_key(key) if key.value else ""
