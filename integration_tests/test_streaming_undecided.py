"""A transaction that is over and was never marked so is decided, and nothing of it comes twice.

Kafka 4.3 leaves markers out when its only broker is killed before it has written them: it starts
with partitions without a leader, which it takes for deleted. Here the worker leaves them out.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from integration_tests.streaming.harness import Stream, Worker, make_stream
from services.local.kafka import LocalKafka

EVENTS = 900
PARTITION = 3


@pytest.fixture(scope="module")
def trusting_bootstrap(session_directory: Path) -> Iterator[str]:
    """Address of a broker that takes a transaction's records without asking its coordinator."""
    with LocalKafka(session_directory / "trusting-kafka") as kafka:
        settings = {"transaction.partition.verification.enable": "false"}
        with KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", settings)])
        yield kafka.bootstrap_servers


class Case(NamedTuple):
    """When the worker dies, and what becomes of the unit and of the local store."""

    dies: str
    committed: bool
    starts: int
    wiped: bool = False
    partial: bool = False


CASES = {
    "its worker goes on": Case("", committed=True, starts=1),
    "its worker dies": Case("at once", committed=True, starts=2),
    "its worker dies before all is written": Case(
        "at once", committed=False, starts=2, partial=True
    ),
    "its worker dies when the local store has it": Case("stored", committed=True, starts=2),
    # Whoever fences that one aborts it, and with it the former one in the topics of both.
    "its worker dies in the next one": Case("in the next", committed=False, starts=2, wiped=True),
    "its worker dies after the next one": Case("after the next", committed=True, starts=2),
    "who decides it dies": Case("deciding", committed=True, starts=3, wiped=True),
}


def fault(case: Case) -> dict[str, Any]:
    """Return what a worker is given that leaves a unit undecided."""
    place = {"fault": "leave_undecided", "unmarked_partition": PARTITION}
    return {**place, "dies": case.dies, "partial": case.partial}


def leave_one(stream: Stream, worker: Worker) -> None:
    """Let the worker leave a unit with an alert undecided."""
    worker.wait_for("partitions_open")
    for number in range(10):  # the tenth of a key raises an alert
        stream.send_one(stream.events[0], PARTITION, b"tenth", b"%d" % number)
    mark = stream.directory / f"{worker.name}.undecided"
    worker.wait_until(mark.exists, exits={-9})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_unit_left_undecided_counts_once(
    trusting_bootstrap: str, run_directory: Path, case: Case
) -> None:
    """Decided by who takes the partition over, or its worker, also where no later unit writes."""
    stream = make_stream(trusting_bootstrap, run_directory, settings={"leftovers_s": 2.0})
    with stream.worker("only", **fault(case)) as worker:
        leave_one(stream, worker)
        # Its marker ends the transaction before it where both wrote to: not in the alerts.
        stream.send_one(stream.events[0], PARTITION, b"one more", b"1")
        worker.wait_until(lambda: "transaction_decided" in worker.log.read_text(), exits={-9})
        worker.wait_until(lambda: worker.starts == case.starts, exits={-9})
        stream.send(EVENTS)
        stream.wait_for_entries(len(stream.sent))
        worker.restart_after(())
        assert worker.starts == case.starts
        (line,) = [x for x in worker.log.read_text().splitlines() if "transaction_decided" in x]
        assert json.loads(line)["committed"] is case.committed
        assert ("local_store_wiped" in worker.log.read_text()) is case.wiped
    assert stream.read(stream.arguments["alerts_topic"])
    stream.judge()


def test_unit_left_undecided_by_the_version_before_counts_once(
    trusting_bootstrap: str, run_directory: Path
) -> None:
    """Nobody writes under its ids again: the successor decides, before it asks where it stood."""
    stream = make_stream(trusting_bootstrap, run_directory)
    with stream.worker("before", **fault(CASES["its worker dies"])) as worker:
        leave_one(stream, worker)
        assert worker.exit_code() == -9
        live = stream.next_version(shadow=False)
        with stream.worker("next", **live) as successor:
            stream.send(EVENTS)
            stream.wait_for_entries(len(stream.sent))
            (line,) = [x for x in successor.log.read_text().splitlines() if "_decided" in x]
            assert json.loads(line)["committed"]
    stream.arguments["changelog_topic"] = live["changelog_topic"]
    stream.judge()


def test_transaction_of_others_holds_up_nobody(
    trusting_bootstrap: str, run_directory: Path
) -> None:
    """Who publishes rules may die in the middle: until it is aborted, all else goes on."""
    stream = make_stream(trusting_bootstrap, run_directory, settings={"leftovers_s": 1.0})
    publisher = KafkaProducer(
        bootstrap_servers=trusting_bootstrap, transactional_id="publisher", linger_ms=0
    )
    publisher.init_transactions()
    publisher.begin_transaction()
    publisher.send(stream.control, key=b"rule", value=b"1", partition=PARTITION).get(30)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send(EVENTS)
        stream.wait_for_entries(len(stream.sent))
        time.sleep(4.0)  # looks at it, more than once
        publisher.abort_transaction()
        worker.restart_after(())
        assert "transaction_decided" not in worker.log.read_text()
    publisher.close()
    stream.judge()
