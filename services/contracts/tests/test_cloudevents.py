from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.base import Format
from cloudevents.core.v1.event import CloudEvent

from services.contracts.cloudevents import cloud_event_headers
from services.contracts.event_types import EVENT_TYPES, RECORD_MOVED, RECORD_WITHDRAWN
from services.contracts.examples import load_example
from services.contracts.families import FamilyEvent
from services.contracts.identifiers import event_id, kafka_key

ARMS = [
    (kind.family, kind.arm)
    for kind in EVENT_TYPES
    if kind.arm not in {RECORD_WITHDRAWN, RECORD_MOVED}
]


class ProtobufFormat(Format):
    """What the SDK needs to carry bytes it does not look into."""

    def read(self, event_factory: Any, data: str | bytes) -> BaseCloudEvent:
        """Structured mode is not used."""
        raise NotImplementedError

    def write(self, event: BaseCloudEvent) -> bytes:
        """Structured mode is not used."""
        raise NotImplementedError

    def write_data(self, data: Any, datacontenttype: str | None) -> bytes:
        """Hand the payload through."""
        assert datacontenttype == "application/protobuf"
        return bytes(data)

    def read_data(self, body: bytes, datacontenttype: str | None) -> Any:
        """Hand the payload through."""
        assert datacontenttype == "application/protobuf"
        return body

    def get_content_type(self) -> str:
        """Name the payload's type."""
        return "application/protobuf"


def stamped(family: str, arm: str) -> FamilyEvent:
    """Example event with its event id set."""
    event = load_example(family, arm)
    envelope = event.envelope
    envelope.event_id = event_id(
        envelope.source_system, envelope.source_record_id, envelope.source_version
    )
    return event


@pytest.mark.parametrize(("family", "arm"), ARMS)
def test_headers_are_what_the_sdk_reads_and_writes(family: str, arm: str) -> None:
    """The CloudEvents SDK reads our headers as a valid event and writes the same ones back."""
    event = stamped(family, arm)
    headers = dict(cloud_event_headers(event))
    message = KafkaMessage(
        headers=headers, key=kafka_key(event.envelope.entity_key), value=event.SerializeToString()
    )

    read = from_binary(message, ProtobufFormat(), CloudEvent)

    assert read.get_type() == f"market_supervision.{family}.v1.{arm}"
    assert read.get_id() == event.envelope.event_id
    assert read.get_source() == f"/sources/{event.envelope.source_system}"
    assert read.get_subject() == message.key.decode()  # type: ignore[union-attr]
    assert read.get_data() == message.value
    assert type(event).FromString(read.get_data()) == event  # type: ignore[arg-type]
    written = to_binary(read, ProtobufFormat())
    assert {k: v for k, v in written.headers.items() if k != "ce_partitionkey"} == headers


def test_time_keeps_the_offset_the_source_stated() -> None:
    """09:30 in Zhongshan is written as 09:30+08:00, a time in UTC with Z."""
    event = stamped("registration", "entity_established")
    headers = dict(cloud_event_headers(event))
    assert headers["ce_time"] == b"2022-03-01T09:30:00+08:00"
    event.envelope.utc_offset_minutes = 0
    assert dict(cloud_event_headers(event))["ce_time"] == b"2022-03-01T01:30:00Z"


def test_time_west_of_greenwich_is_the_same_moment() -> None:
    """A negative offset with half an hour still names the moment of the event."""
    event = stamped("registration", "entity_established")
    event.envelope.utc_offset_minutes = -210
    text = dict(cloud_event_headers(event))["ce_time"].decode()
    assert datetime.fromisoformat(text).utcoffset() == timedelta(minutes=-210)
    moment = event.envelope.event_time.ToDatetime(tzinfo=timezone.utc)  # noqa: UP017
    assert datetime.fromisoformat(text) == moment


def test_headers_without_an_event_id_are_refused() -> None:
    """Headers are derived from a complete payload only."""
    with pytest.raises(ValueError, match="event id"):
        cloud_event_headers(load_example("complaints", "complaint_received"))
