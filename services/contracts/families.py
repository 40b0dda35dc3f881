"""The four event families: one entry each, and nothing found by itself.

A family is one Kafka topic, one protobuf message with a `oneof` and one intake service (事件类别).
"""

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from market_supervision.complaints.v1.complaints_events_pb2 import ComplaintEvent
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.penalties.v1.penalties_events_pb2 import PenaltyEvent
from market_supervision.registration.v1.registration_events_pb2 import RegistrationEvent

from services.contracts.labels import Label

FamilyEvent = RegistrationEvent | InspectionEvent | ComplaintEvent | PenaltyEvent
"""The event message of any family; each has `envelope` and the oneof `body`."""

BODY_ONEOF: Final = "body"

SET_BY_INTAKE: Final = ("record_time", "recorded_by", "event_id", "submitted_entity_key")
"""Fields of the envelope that an intake sets, and refuses from a client."""

EVENT_BYTES_MAX: Final = 256 << 10
"""Largest event an intake takes; real ones are below 2 KiB."""


@dataclass(frozen=True)
class Family:
    """One event family."""

    name: str
    topic: str
    """Short name in the topic catalogue, such as `registration.v1`."""
    message_class: type[FamilyEvent]
    label: Label

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Names of the body's arms, in the order of the contract."""
        oneof = self.message_class.DESCRIPTOR.oneofs_by_name[BODY_ONEOF]
        return tuple(field.name for field in oneof.fields)

    def body_full_name(self, arm: str) -> str:
        """Return the protobuf full name of an arm's message; KeyError for an unknown arm."""
        message_type = self.message_class.DESCRIPTOR.fields_by_name[arm].message_type
        assert message_type is not None, f"arm {arm} of {self.name} is not a message"
        return message_type.full_name

    def parse(self, payload: bytes) -> FamilyEvent:
        """Parse an event of this family; raise DecodeError when the bytes are no message."""
        event = self.message_class()
        event.ParseFromString(payload)
        return event


def arm_of(event: FamilyEvent) -> str | None:
    """Return the arm the event carries; None for a withdrawn or moved record without a body."""
    return event.WhichOneof(BODY_ONEOF)


FAMILIES: tuple[Family, ...] = (
    Family(
        name="registration",
        topic="registration.v1",
        message_class=RegistrationEvent,
        label=Label(zh="登记注册", en="registration"),
    ),
    Family(
        name="inspections",
        topic="inspections.v1",
        message_class=InspectionEvent,
        label=Label(zh="监督检查", en="inspections"),
    ),
    Family(
        name="complaints",
        topic="complaints.v1",
        message_class=ComplaintEvent,
        label=Label(zh="投诉举报", en="complaints"),
    ),
    Family(
        name="penalties",
        topic="penalties.v1",
        message_class=PenaltyEvent,
        label=Label(zh="行政处罚", en="penalties"),
    ),
)

SOURCE_TOPICS: Final = ("control.v1", *(family.topic for family in FAMILIES))
"""Short names of what the stream folds: the control records and every family's events."""

FAMILY_BY_NAME: MappingProxyType[str, Family] = MappingProxyType(
    {family.name: family for family in FAMILIES}
)

FAMILY_BY_MESSAGE: MappingProxyType[str, Family] = MappingProxyType(
    {family.message_class.DESCRIPTOR.full_name: family for family in FAMILIES}
)
"""Family by the protobuf full name of its event message."""


def family_of(event: FamilyEvent) -> Family:
    """Return the family of an event message."""
    return FAMILY_BY_MESSAGE[event.DESCRIPTOR.full_name]
