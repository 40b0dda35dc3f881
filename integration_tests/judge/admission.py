"""Which records of the event topics may be folded at all, by the judge's own reading. Pure.

The guards here are those the contracts state. A record that fails them belongs to the dead letters;
the stream may refuse a record for further reasons of its own, which `accounting` lists by name.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError, Message
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_ASSERTED,
    DISPOSITION_UNSPECIFIED,
    Disposition,
    EventEnvelope,
)
from market_supervision.complaints.v1.complaints_events_pb2 import ComplaintEvent
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.penalties.v1.penalties_events_pb2 import PenaltyEvent
from market_supervision.registration.v1.registration_events_pb2 import RegistrationEvent

from integration_tests.judge.raw_log import LogRecord

EVENT_MESSAGES: Mapping[str, type[Any]] = MappingProxyType(
    {
        "registration": RegistrationEvent,
        "inspections": InspectionEvent,
        "complaints": ComplaintEvent,
        "penalties": PenaltyEvent,
    }
)
_YEARS = (
    datetime(1900, 1, 1, tzinfo=UTC).timestamp(),
    datetime(2300, 1, 1, tzinfo=UTC).timestamp(),
)
_EVENT_BYTES_MAX = 1 << 20
_IDENTIFIER_BYTES_MAX = 512
_AMOUNT_FEN_MAX = 10**15


class RefusedError(ValueError):
    """A record that cannot be folded."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the log, fit to be folded."""

    record: LogRecord
    family: str
    arm: str
    """Name of the body's arm; empty for a fact taken back or moved without a body."""
    message: Any
    """The event, without fields this release does not know."""
    entity_key: str
    payload_hash: bytes

    @property
    def envelope(self) -> EventEnvelope:
        """The envelope."""
        envelope: EventEnvelope = self.message.envelope
        return envelope

    @property
    def body(self) -> Any:
        """The body; only of an event with an arm."""
        return getattr(self.message, self.arm)

    @property
    def slot(self) -> tuple[str, str]:
        """Source system and source record."""
        return self.envelope.source_system, self.envelope.source_record_id

    @property
    def slot_key(self) -> str:
        """Text form of the slot in its matter, as the state writes it."""
        return "|".join((*self.slot, f"{zlib.crc32(self.matter_id.encode()):08x}"))

    @property
    def matter_id(self) -> str:
        """Matter."""
        return self.envelope.matter_id

    @property
    def version(self) -> int:
        """Source version."""
        return self.envelope.source_version

    @property
    def stands(self) -> bool:
        """Whether the fact is stated, not taken back or moved."""
        return self.envelope.disposition == DISPOSITION_ASSERTED

    @property
    def time_ms(self) -> int:
        """Event time, milliseconds since 1970-01-01 UTC."""
        return int(self.envelope.event_time.ToMilliseconds())


def family_of(topic: str) -> str:
    """Return the family of an event topic."""
    return topic.partition(".")[0]


def parsed(record: LogRecord) -> Any:
    """Return the message of a record of an event topic; None where it is no such message."""
    try:
        return EVENT_MESSAGES[family_of(record.topic)].FromString(record.value)
    except (DecodeError, TypeError):
        return None


def admit(record: LogRecord) -> Event:
    """Return the event of a record; RefusedError when it belongs to the dead letters."""
    if record.value is None or len(record.value) > _EVENT_BYTES_MAX:
        raise RefusedError("no value, or too large")
    message = parsed(record)
    if message is None:
        raise RefusedError("not an event of its topic")
    message.DiscardUnknownFields()
    envelope = message.envelope
    entity_key = f"{envelope.entity_key.scheme}:{envelope.entity_key.value}"
    _check_envelope(envelope, entity_key, record.key)
    arm = message.WhichOneof("body") or ""
    if not arm and envelope.disposition == DISPOSITION_ASSERTED:
        raise RefusedError("no event type that this release knows")
    if arm:
        _check_amounts(getattr(message, arm))
    payload_hash = _payload_hash(record)
    return Event(record, family_of(record.topic), arm, message, entity_key, payload_hash)


def _check_envelope(envelope: EventEnvelope, entity_key: str, key: bytes | None) -> None:
    known = set(Disposition.values()) - {DISPOSITION_UNSPECIFIED}
    seconds, nanos = envelope.event_time.seconds, envelope.event_time.nanos
    source = f"{envelope.source_system}|{envelope.source_record_id}|{envelope.event_id}"
    matter_system, slash, matter_local = envelope.matter_id.partition("/")
    identifiers = (entity_key, envelope.matter_id, source)
    demands = {
        "disposition": envelope.disposition in known,
        "source": envelope.source_system
        and envelope.source_record_id
        and envelope.event_id
        and "|" not in envelope.source_system
        and envelope.source_version >= 1,
        "event time": envelope.HasField("event_time")
        and _YEARS[0] <= seconds < _YEARS[1]
        and 0 <= nanos < 10**9,
        "length": all(len(text.encode()) <= _IDENTIFIER_BYTES_MAX for text in identifiers),
        "entity key": _is_plain(envelope.entity_key.scheme)
        and _is_plain(envelope.entity_key.value),
        "matter": _is_plain(envelope.matter_id) and matter_system and slash and matter_local,
        "record key": key == entity_key.encode(),
    }
    wrong = [name for name, holds in demands.items() if not holds]
    if wrong:
        raise RefusedError(", ".join(wrong))


def _is_plain(text: str) -> bool:
    """Whether a text can be part of a key: printable, without blanks and separators."""
    return bool(text) and "|" not in text and text.isprintable() and " " not in text


def _check_amounts(body: Message) -> None:
    for field, value in body.ListFields():
        if field.name.endswith("amount_fen") and not 0 <= value <= _AMOUNT_FEN_MAX:
            raise RefusedError(f"{field.name} is out of bounds")


def _payload_hash(record: LogRecord) -> bytes:
    try:
        return bytes.fromhex((record.header("payload-hash") or b"-").decode())
    except ValueError:
        raise RefusedError("no payload hash") from None
