"""A matter as the state topic must hold it: the set of its slots. Pure."""

from collections.abc import Mapping

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.admission import Event

_SLOT_FIELDS = {
    "registration": "registration",
    "inspections": "inspection",
    "complaints": "complaint",
    "penalties": "penalty",
}


def matter_state(
    entity_key: str, matter_id: str, held: Mapping[tuple[str, str], Event], summed: int
) -> state_pb2.MatterState:
    """Return a matter as the set of its slots."""
    matter = state_pb2.MatterState(matter_id=matter_id, entity_key=entity_key, stub_count=summed)
    for slot_key in sorted(held):
        matter.slots.append(slot_of(held[slot_key]))
    return matter


def slot_of(event: Event) -> state_pb2.Slot:
    """Return a slot with the event that holds in it; one that does not stand keeps no body."""
    slot = state_pb2.Slot(
        source_system=event.slot[0],
        source_record_id=event.slot[1],
        source_version=event.version,
        disposition=event.envelope.disposition,
        payload_hash=event.payload_hash,
        origin_offset=event.record.offset,
    )
    target = getattr(slot, _SLOT_FIELDS[event.family])
    if event.stands:
        target.CopyFrom(event.message)
    else:
        target.envelope.CopyFrom(event.envelope)
    target.envelope.ClearField("record_time")
    return slot
