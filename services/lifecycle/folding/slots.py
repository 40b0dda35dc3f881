"""Putting one event into its slot: duplicate, superseded, conflicting or taken."""

from enum import Enum

from google.protobuf.message import Message
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED, EventEnvelope
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.handlers import SLOT_FIELDS

SLOTS_MAX = 64
"""Slots a matter holds; beyond, the one with the oldest event time becomes a stub."""
MATTER_BYTES_MAX = 512 * 1024
"""Size beyond which a matter pushes slots out too, down to its last one: with the largest event
(`decoding.EVENT_BYTES_MAX`) it still fits a record of the state topic."""


class Verdict(Enum):
    """What became of an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


def find_slot(
    matter: state_pb2.MatterState, source_system: str, source_record_id: str
) -> state_pb2.Slot | None:
    """The slot of a source record in a matter, or None."""
    for slot in matter.slots:
        if slot.source_record_id == source_record_id and slot.source_system == source_system:
            return slot
    return None


def judge(
    held_version: int, held_hash: bytes, envelope: EventEnvelope, payload_hash: bytes
) -> Verdict:
    """Compare an event with the version held. Of two contents under one version the first holds.

    Records of one source record under one key lie in one partition in offset order, so the first to
    come is the one at the lowest offset: the one every receipt names.
    """
    if envelope.source_version > held_version:
        return Verdict.APPLIED
    if envelope.source_version < held_version:
        return Verdict.SUPERSEDED
    return Verdict.DUPLICATE if payload_hash == held_hash else Verdict.CONFLICT


def put(
    matter: state_pb2.MatterState, family: str, event: Message, payload_hash: bytes, offset: int
) -> None:
    """Write an event into its slot, replacing an older version. Slots stay sorted by key.

    ``record_time`` is cleared: it says when an intake took the record, not what happened, and would
    make equal facts unequal. A fact that does not stand keeps its envelope only.
    """
    envelope: EventEnvelope = event.envelope  # type: ignore[attr-defined]
    slot = find_slot(matter, envelope.source_system, envelope.source_record_id)
    if slot is None:
        slot = matter.slots.add(
            source_system=envelope.source_system, source_record_id=envelope.source_record_id
        )
        matter.slots.sort(key=lambda s: (s.source_system, s.source_record_id))
        slot = find_slot(matter, envelope.source_system, envelope.source_record_id)
        assert slot is not None
    slot.source_version = envelope.source_version
    slot.disposition = envelope.disposition
    slot.payload_hash = payload_hash
    slot.origin_offset = offset
    slot.ClearField("event")
    target = getattr(slot, SLOT_FIELDS[family])
    if envelope.disposition == DISPOSITION_ASSERTED:
        target.CopyFrom(event)
    else:
        target.envelope.CopyFrom(envelope)
    target.envelope.ClearField("record_time")


def overflowing_slot(matter: state_pb2.MatterState) -> state_pb2.Slot | None:
    """The slot to push out of a matter that holds too much: oldest event time, ties by slot key."""
    too_large = len(matter.slots) > 1 and matter.ByteSize() > MATTER_BYTES_MAX
    if len(matter.slots) <= SLOTS_MAX and not too_large:
        return None
    return min(matter.slots, key=lambda s: (event_time_ms(s), s.source_system, s.source_record_id))


def event_time_ms(slot: state_pb2.Slot) -> int:
    """Event time of the fact in a slot, in milliseconds."""
    holder = slot.WhichOneof("event")
    return 0 if holder is None else int(getattr(slot, holder).envelope.event_time.ToMilliseconds())
