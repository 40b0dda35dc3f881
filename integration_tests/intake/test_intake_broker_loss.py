"""The broker dies under load: nothing acknowledged is lost, nothing unknown is called known."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from market_supervision.intake.v1.intake_pb2 import Receipt

from integration_tests.intake.support import (
    IntakeInstance,
    canonical,
    first_places,
    inspection,
    read_log,
    running,
    submit_all,
)
from services.contracts.topics import CATALOGUE
from services.local.kafka import LocalKafka
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

WRITERS = 4
BATCH_EVENTS = 20
ENOUGH = 200
ANSWER_SECONDS = 2


@pytest.fixture
def own_kafka(run_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKafka]:
    """Run a broker that the test may kill."""
    with LocalKafka(run_directory / "kafka") as kafka:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
        # Two topics only: the broker is back the sooner.
        ensure_topics(
            kafka.bootstrap_servers,
            catalogue=[CATALOGUE["inspections.v1"], CATALOGUE["links.v1"]],
        )
        yield kafka


class Writer(threading.Thread):
    """Submits batch after batch until told to stop; keeps what became of each event."""

    def __init__(self, instance: IntakeInstance, number: int) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.number = number
        self.stopping = threading.Event()
        self.receipts: dict[int, bytes] = {}
        self.unknown: set[int] = set()
        self.others: list[str] = []
        self.receipt_times: list[tuple[float, float]] = []
        """When the request of a receipt was sent, when it was answered."""

    def run(self) -> None:
        """Submit until told to stop."""
        at = self.number * 1_000_000
        while not self.stopping.is_set():
            self.submit(list(range(at, at + BATCH_EVENTS)))
            at += BATCH_EVENTS

    def submit(self, numbers: list[int]) -> None:
        """Submit one batch and take note of the outcomes."""
        sent = time.monotonic()
        outcomes = submit_all(self.instance, [inspection(number) for number in numbers])
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome.HasField("receipt"):
                self.receipts[number] = canonical(outcome.receipt)
                self.receipt_times.append((sent, time.monotonic()))
                self.unknown.discard(number)
            elif outcome.HasField("unknown"):
                assert outcome.unknown.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
                self.unknown.add(number)
            else:
                self.others.append(outcome.refusal.status.message)


def receipts_since(writers: Sequence[Writer], moment: float) -> int:
    """Return how many receipts answer requests sent after a moment of the monotonic clock."""
    return sum(sent > moment for writer in writers for sent, _ in list(writer.receipt_times))


def all_known(writer: Writer) -> bool:
    """Submit a writer's unknown events again; return whether all have receipts now."""
    unknown = sorted(writer.unknown)
    for at in range(0, len(unknown), BATCH_EVENTS):
        writer.submit(unknown[at : at + BATCH_EVENTS])
    return not writer.unknown


def test_broker_killed_under_load_loses_no_acknowledged_event(
    own_kafka: LocalKafka, run_directory: Path
) -> None:
    """Receipts name records that are there after the crash; unknown events get theirs by a retry.

    While the broker is dead, nothing is answered with a receipt.
    """
    instance = IntakeInstance("one", run_directory, engine__answer_seconds_max=str(ANSWER_SECONDS))
    with running(instance) as one:
        writers = [Writer(one, number) for number in range(1, WRITERS + 1)]
        for writer in writers:
            writer.start()
        poll_until(lambda: receipts_since(writers, 0.0) >= ENOUGH, timeout_seconds=120)
        own_kafka.kill()
        killed = time.monotonic()
        poll_until(lambda: any(writer.unknown for writer in writers), timeout_seconds=120)
        restarting = time.monotonic()
        own_kafka.start(timeout_seconds=120)
        poll_until(lambda: receipts_since(writers, restarting) >= ENOUGH, timeout_seconds=120)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(60)
        for writer in writers:
            poll_until(lambda of=writer: all_known(of), timeout_seconds=120)  # type: ignore[misc]
    assert [message for writer in writers for message in writer.others] == []
    times = [moments for writer in writers for moments in writer.receipt_times]
    assert not [(sent, at) for sent, at in times if sent > killed and at < restarting]
    receipts = {number: found for writer in writers for number, found in writer.receipts.items()}
    places = first_places(read_log(own_kafka.bootstrap_servers))
    for number, found in receipts.items():
        receipt = Receipt.FromString(found)
        assert places[f"JC-{number}", 1] == (receipt.partition, receipt.offset)
    assert set(places) == {(f"JC-{number}", 1) for number in receipts}
