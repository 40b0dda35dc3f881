"""Builds the MOVED record that takes a fact away from the place it left (移出记录). Pure."""

from typing import Final

from market_supervision.common.v1.envelope_pb2 import Disposition

from services.contracts.families import Family
from services.contracts.identifiers import derived_id, parse_key
from services.intake.decoding import as_submitted, payload_hash
from services.intake.pipeline import outgoing_record
from services.intake.publisher import OutgoingRecord
from services.intake.slot_history import Move

RECORDED_BY_INTAKE: Final = "market-supervision.intake"
"""`recorded_by` of records an intake writes of its own accord."""


def moved_event_id(source_system: str, source_record_id: str, move: Move) -> str:
    """Return the event id of a MOVED record: one for each slot, version and place left."""
    return derived_id(
        source_system,
        source_record_id,
        str(move.version),
        "moved",
        move.place.entity_key,
        move.place.matter_id,
    )


def moved_record(
    family: Family, source_system: str, source_record_id: str, move: Move, *, now_ns: int
) -> OutgoingRecord:
    """Return the MOVED record for a place that a slot has left.

    It stands under the old entity key and matter, with the version that left them; its event time
    is the fact's, as last stated there. Made by any instance, it has the same id and payload hash.
    """
    event = family.message_class()
    envelope = event.envelope
    envelope.source_system = source_system
    envelope.source_record_id = source_record_id
    envelope.source_version = move.version
    envelope.disposition = Disposition.DISPOSITION_MOVED
    envelope.entity_key.CopyFrom(parse_key(move.place.entity_key))
    envelope.matter_id = move.place.matter_id
    envelope.event_time.seconds = move.place.event_seconds
    envelope.event_time.nanos = move.place.event_nanos
    envelope.utc_offset_minutes = move.place.utc_offset_minutes
    envelope.record_time.FromNanoseconds(now_ns)
    envelope.recorded_by = RECORDED_BY_INTAKE
    envelope.event_id = moved_event_id(source_system, source_record_id, move)
    return outgoing_record(event, payload_hash(as_submitted(event)))
