"""A transaction that is over and was never marked so is decided, and nothing of it comes twice.

Kafka 4.3 leaves markers out when its only broker is killed before it has written them: it starts
with partitions without a leader, which it takes for deleted. Here the worker leaves them out.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from integration_tests.streaming.harness import make_stream
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


@pytest.mark.parametrize(
    ("dies", "partial"),
    [
        pytest.param(True, False, id="its worker dies"),
        pytest.param(True, True, id="its worker dies before all is written"),
        pytest.param(False, False, id="its worker goes on"),
    ],
)
def test_unit_left_undecided_counts_once(
    trusting_bootstrap: str, run_directory: Path, *, dies: bool, partial: bool
) -> None:
    """Decided by who takes the partition over, or its worker, also where no later unit writes."""
    stream = make_stream(trusting_bootstrap, run_directory, settings={"leftovers_s": 2.0})
    fault = {"fault": "leave_undecided", "unmarked_partition": PARTITION}
    fault |= {"dies": dies, "partial": partial}
    with stream.worker("only", **fault) as worker:
        worker.wait_for("partitions_open")
        for number in range(10):  # the tenth of a key raises an alert
            stream.send_one(stream.events[0], PARTITION, b"tenth", b"%d" % number)
        mark = run_directory / "only.undecided"
        worker.wait_until(mark.exists, exits={-9})
        # Its marker ends the transaction before it where both wrote to: not in the alerts.
        stream.send_one(stream.events[0], PARTITION, b"one more", b"1")
        worker.wait_until(lambda: "transaction_decided" in worker.log.read_text(), exits={-9})
        stream.send(EVENTS)
        stream.wait_for_entries(len(stream.sent))
        worker.restart_after(())
        assert worker.starts == (2 if dies else 1)
        (line,) = [x for x in worker.log.read_text().splitlines() if "transaction_decided" in x]
        assert json.loads(line)["committed"] is not partial
        assert "local_store_wiped" not in worker.log.read_text()
    assert stream.read(stream.arguments["alerts_topic"])
    stream.judge()
