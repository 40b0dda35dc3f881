"""What an intake says when it is full, when a message is too large, and to whom it says nothing."""

from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from kafka import KafkaProducer
from market_supervision.inspections.v1.inspections_intake_service_pb2 import StreamSubmitRequest

from integration_tests.intake.support import (
    IntakeInstance,
    batch,
    batch_request,
    canonical,
    inspection,
    read_log,
    running,
    stream,
    submit_all,
)
from services.contracts import topics
from services.runtime.testing import NoText

ROOM = 100


def reason_and_delay(status: Status) -> tuple[str, int]:
    """Return the reason of a status and the milliseconds to wait before the next try."""
    info, retry = ErrorInfo(), RetryInfo()
    for packed in status.details:
        packed.Unpack(info)
        packed.Unpack(retry)
    return info.reason, retry.retry_delay.ToMilliseconds()


def test_full_buffer_refuses_what_does_not_fit_before_anything_of_it_is_sent(
    broker: str, run_directory: Path
) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo for the rest; the same request later takes the rest in."""
    events = [inspection(number) for number in range(3 * ROOM)]
    instance = IntakeInstance("one", run_directory, engine__events_under_way_max=str(ROOM))
    with running(instance) as one:
        outcomes = submit_all(one, events)
        assert [each.WhichOneof("outcome") for each in outcomes] == [
            *["receipt"] * ROOM,
            *["refusal"] * 2 * ROOM,
        ]
        for refused in outcomes[ROOM:]:
            status = refused.refusal.status
            assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert reason_and_delay(status) == ("BUFFER_FULL", 1000)
        assert len(read_log(broker)) == ROOM
        rest = submit_all(one, events[ROOM:])
    assert [each.HasField("receipt") for each in rest] == [True] * ROOM + [False] * ROOM


def test_record_with_a_header_name_that_is_no_text_does_not_keep_the_intake_from_its_topic(
    broker: str, run_directory: Path
) -> None:
    """Somebody wrote it past the intakes; it is in the index as any other."""
    event = inspection(1)
    key = event.envelope.entity_key
    with KafkaProducer(bootstrap_servers=broker) as producer:
        producer.send(
            topics.name("inspections.v1"),
            key=f"{key.scheme}:{key.value}".encode(),
            value=canonical(event),
            headers=[(NoText("name"), b"value")],
        ).get(timeout=20)
    with running(IntakeInstance("one", run_directory)) as one:
        outcomes = submit_all(one, [inspection(2), inspection(3)])
    assert all(outcome.HasField("receipt") for outcome in outcomes)


def test_stream_answers_every_event_by_its_sequence_and_goes_on_after_a_bad_one(
    broker: str, run_directory: Path
) -> None:
    """A stream gives one outcome an event; a refused event refuses itself only."""
    events = [inspection(number) for number in range(3_000)]
    events[7].envelope.entity_key.value = "NOT-A-CODE"

    with (
        running(IntakeInstance("one", run_directory)) as one,
        grpc.insecure_channel(one.address) as channel,
    ):
        answers = stream(channel)(
            StreamSubmitRequest(sequence=10 * number, event=event)
            for number, event in enumerate(events)
        )
        outcomes = {each.outcome.sequence: each.outcome for each in answers}
    assert sorted(outcomes) == [10 * number for number in range(len(events))]
    refused = [number for number, each in outcomes.items() if not each.HasField("receipt")]
    assert refused == [70]
    assert len(read_log(broker)) == len(events) - 1


def test_oversize_event_is_refused_alone_and_oversize_request_as_a_whole(
    broker: str, run_directory: Path
) -> None:
    """MESSAGE_TOO_LARGE for one event of a batch; RESOURCE_EXHAUSTED for a request above 4 MiB."""
    large = inspection(1)
    large.envelope.stated_entity_name = "店" * 100_000
    with running(IntakeInstance("one", run_directory)) as one:
        outcomes = submit_all(one, [large, inspection(2)])
        assert reason_and_delay(outcomes[0].refusal.status)[0] == "MESSAGE_TOO_LARGE"
        assert outcomes[1].HasField("receipt")
        with grpc.insecure_channel(one.address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                batch(channel)(batch_request([large] * 20), timeout=20)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(read_log(broker)) == 1
