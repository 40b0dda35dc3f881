"""What is written without asking for a deterministic order has one order only."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.struct_pb2 import Struct
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.profiles.v1 import entity_profile_pb2

WRITTEN = (
    *state_pb2.DESCRIPTOR.message_types_by_name.values(),
    alert_pb2.AlertRecord.DESCRIPTOR,
    entity_profile_pb2.TimelineEntry.DESCRIPTOR,
)


def _maps_in(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """Full names of the map fields in a message and in all it can hold."""
    seen.add(message.full_name)
    for field in message.fields:
        held = field.message_type
        if held is None:
            continue
        if held.GetOptions().map_entry:
            yield field.full_name
        if held.full_name not in seen:
            yield from _maps_in(held, seen)


@pytest.mark.parametrize("message", WRITTEN, ids=lambda message: message.name)
def test_no_written_message_holds_a_map(message: Descriptor) -> None:
    """`encoded` leaves out the ordering of maps, so two workers would write other bytes."""
    seen: set[str] = set()
    assert not list(_maps_in(message, seen))


def test_walk_reaches_the_events_and_would_find_a_map() -> None:
    """The walk goes into what a message holds, and knows a map when it sees one."""
    seen: set[str] = set()
    assert not list(_maps_in(state_pb2.MatterState.DESCRIPTOR, seen))
    assert "market_supervision.complaints.v1.ComplaintEvent" in seen
    assert list(_maps_in(Struct.DESCRIPTOR, set())) == ["google.protobuf.Struct.fields"]
