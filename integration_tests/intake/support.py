"""Instances, events and an independent reader of the log for the intake tests.

The reader uses kafka-python and the contract only: nothing of services.intake.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import stdnum.cn.uscc
from google.protobuf import json_format
from google.protobuf.message import Message
from kafka import KafkaConsumer, TopicPartition
from market_supervision.inspections.v1 import inspections_intake_service_pb2 as inspections
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.intake.v1.intake_pb2 import SubmissionOutcome

from services.contracts import topics
from services.local.health import answers_serving
from services.local.process import ManagedProcess
from services.local.waiting import poll_until

EXAMPLES = Path(__file__).resolve().parents[2] / "protos" / "examples"
SERVICE = "/market_supervision.inspections.v1.InspectionsIntakeService/"
SOURCE_SYSTEM = "zs.inspection"

SUBMIT = SERVICE + "Submit"
BATCH_SUBMIT = SERVICE + "BatchSubmit"
STREAM_SUBMIT = SERVICE + "StreamSubmit"

_EXAMPLE = json_format.Parse(
    (EXAMPLES / "inspections" / "inspection_completed.json").read_text(encoding="utf-8"),
    InspectionEvent(),
)


def uscc(number: int) -> str:
    """Return an invented unified social credit code with a valid check character."""
    body = f"91442000XX{number:07d}"
    return body + str(stdnum.cn.uscc.calc_check_digit(body))


def inspection(
    number: int,
    *,
    version: int = 1,
    entity: int | None = None,
    matter: str | None = None,
    seconds_later: int = 0,
) -> InspectionEvent:
    """Return the event of inspection ``number``; equal arguments give equal events."""
    event = InspectionEvent()
    event.CopyFrom(_EXAMPLE)
    envelope = event.envelope
    envelope.source_record_id = f"JC-{number}"
    envelope.source_version = version
    envelope.entity_key.value = uscc(number % 500 if entity is None else entity)
    envelope.matter_id = matter or f"{SOURCE_SYSTEM}/JC-{number}"
    envelope.event_time.seconds += seconds_later
    return event


class IntakeInstance:
    """One process of the inspections intake."""

    def __init__(self, name: str, directory: Path, **settings: str) -> None:
        """``settings``: fields of the service's, such as ``engine__answer_seconds_max``."""
        self.ready_file = directory / f"{name}.ready.json"
        self.log_file = directory / f"{name}.log"
        given = {
            "index_directory": str(directory / f"{name}.index"),
            "server__ready_file": str(self.ready_file),
            **settings,
        }
        self.process = ManagedProcess(
            name,
            [sys.executable, "-m", "services.inspections"],
            run_directory=directory,
            log_file=self.log_file,
            environment={
                f"MARKET_SUPERVISION_INSPECTIONS__{field.upper()}": value
                for field, value in given.items()
            },
        )
        self.address = ""

    def start(self) -> None:
        """Start it and wait until it answers health checks with SERVING."""
        self.ready_file.unlink(missing_ok=True)
        self.process.start()
        poll_until(self._is_serving, timeout_seconds=120, what=f"{self.log_file} serving")

    def _is_serving(self) -> bool:
        if not self.process.running():
            raise AssertionError(self.log_file.read_text(encoding="utf-8"))
        if not self.ready_file.exists():
            return False
        self.address = f"127.0.0.1:{json.loads(self.ready_file.read_text())['port']}"
        return answers_serving(self.address)


@contextmanager
def running(instance: IntakeInstance) -> Iterator[IntakeInstance]:
    """Run an instance for the time of a block."""
    instance.start()
    try:
        yield instance
    finally:
        instance.process.stop()


def unary(channel: grpc.Channel | grpc.aio.Channel) -> Callable[..., Any]:
    """Return the call Submit of a channel."""
    return channel.unary_unary(
        SUBMIT,
        request_serializer=inspections.SubmitRequest.SerializeToString,
        response_deserializer=inspections.SubmitResponse.FromString,
    )


def batch(channel: grpc.Channel | grpc.aio.Channel) -> Callable[..., Any]:
    """Return the call BatchSubmit of a channel."""
    return channel.unary_unary(
        BATCH_SUBMIT,
        request_serializer=inspections.BatchSubmitRequest.SerializeToString,
        response_deserializer=inspections.BatchSubmitResponse.FromString,
    )


def stream(channel: grpc.Channel | grpc.aio.Channel) -> Callable[..., Any]:
    """Return the call StreamSubmit of a channel."""
    return channel.stream_stream(
        STREAM_SUBMIT,
        request_serializer=inspections.StreamSubmitRequest.SerializeToString,
        response_deserializer=inspections.StreamSubmitResponse.FromString,
    )


def submit_request(event: InspectionEvent) -> inspections.SubmitRequest:
    """Return the request that submits one event."""
    return inspections.SubmitRequest(event=event)


def batch_request(events: Sequence[InspectionEvent]) -> inspections.BatchSubmitRequest:
    """Return the request that submits many events."""
    return inspections.BatchSubmitRequest(events=events)


def submit_all(
    instance: IntakeInstance, events: Sequence[InspectionEvent]
) -> list[SubmissionOutcome]:
    """Submit events as one batch."""
    with grpc.insecure_channel(instance.address) as channel:
        answer = batch(channel)(batch_request(events), timeout=30)
        outcomes: list[SubmissionOutcome] = list(answer.outcomes)
        return outcomes


class LogRecord(NamedTuple):
    """One record of the inspections topic."""

    partition: int
    offset: int
    event: InspectionEvent
    headers: dict[str, bytes]

    @property
    def source_key(self) -> tuple[str, int]:
        """Source record id and version."""
        return self.event.envelope.source_record_id, self.event.envelope.source_version


def read_log(bootstrap_servers: str) -> list[LogRecord]:
    """Return every record of the inspections topic, by partition and offset."""
    topic = topics.name("inspections.v1")
    partitions = [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]
    found: list[LogRecord] = []
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(each) < ends[each] for each in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                found.extend(
                    LogRecord(
                        record.partition,
                        record.offset,
                        InspectionEvent.FromString(record.value),
                        dict(record.headers),
                    )
                    for record in records
                )
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def first_places(records: Sequence[LogRecord]) -> dict[tuple[str, int], tuple[int, int]]:
    """Return where each source version stands first: (partition, offset); MOVED records apart."""
    places: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        if record.event.envelope.recorded_by != "market-supervision.intake":
            places[record.source_key].append((record.partition, record.offset))
    return {key: min(found) for key, found in places.items()}


def canonical(message: Message) -> bytes:
    """Return a message's canonical bytes."""
    return message.SerializeToString(deterministic=True)
