"""Whatever the engine did not expect ends the process with a code of its own, and a log line."""

import re
import signal
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from integration_tests.streaming.harness import META, PATIENCE_SECONDS, make_stream
from services.streaming.exits import ExitCode


def test_worker_whose_step_raises_ends_and_leaves_no_trace(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A failing unit is not visible, the ones before it are, and a restart fails again."""
    stream = make_stream(kafka_bootstrap, run_directory, fail_on=-1)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send(100)
        stream.wait_for_entries(100)
        stream.send_one(stream.events[0], 4, b"key", b"-1")
        assert worker.exit_code() == ExitCode.STEP_FAILED
        assert f"{stream.events[0]}@" in worker.log.read_text()
        worker.start()
        assert worker.exit_code() == ExitCode.STEP_FAILED
    assert len(stream.entries()) == 100


def test_worker_that_loses_a_delivery_ends(kafka_bootstrap: str, run_directory: Path) -> None:
    """A hole between two fetch positions is never skipped; after a restart nothing is missing."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", fault="lose_a_chunk") as worker:
        worker.wait_for("partitions_open")
        # What one poll brought is lost; only records behind it can tell.
        deadline = time.monotonic() + PATIENCE_SECONDS
        assert worker.process is not None
        while worker.process.poll() is None and time.monotonic() < deadline:
            stream.send(200)
            time.sleep(0.3)
        assert worker.exit_code() == ExitCode.DELIVERY_HOLE
        assert "expected" in worker.log.read_text()
        worker.overrides.clear()
        worker.start()
        stream.wait_for_entries(len(stream.sent))
    stream.judge()


def test_worker_with_topics_assigned_apart_ends(kafka_bootstrap: str, run_directory: Path) -> None:
    """A partition whose topics went to different workers must not be folded by either."""
    words = ("control", "red", "green", "blue", "lifecycle", "timeline", "alerts", "dead")
    stream = make_stream(
        kafka_bootstrap,
        run_directory,
        partitions=dict.fromkeys(words, 3),
        partition_count=3,
        fault="assign_round_robin",
    )
    with stream.worker("first") as first:
        first.wait_for("partitions_open")
        with stream.worker("second") as second:
            codes = {first.exit_code(), second.exit_code()}
    assert ExitCode.NOT_COPARTITIONED in codes


def test_worker_that_stands_by_and_is_out_of_its_group_ends(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """It would own nothing for ever, and look healthy; started again it has its place."""
    words = ("control", "red", "green", "blue", "lifecycle", "timeline", "alerts", "dead")
    stream = make_stream(
        kafka_bootstrap,
        run_directory,
        partitions=dict.fromkeys(words, 1),
        partition_count=1,
    )
    with stream.worker("first") as first:
        first.wait_for("partitions_open")
        forgetful = {"fault": "leave_when_idle", "settings": {"watchdog_s": 8.0}}
        with stream.worker("second", **forgetful) as second:
            assert second.exit_code() == ExitCode.WATCHDOG
            assert "the group assigns nothing" in second.log.read_text()
            del second.overrides["fault"]
            second.start()
            second.wait_for("worker_standing_by")
            first.kill()
            second.wait_for("partitions_open")


def test_worker_assigned_nothing_by_a_blind_leader_ends(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Partitions enough and none assigned is fatal: else the group would idle for ever."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", fault="lead_without_metadata") as worker:
        assert worker.exit_code() == ExitCode.UNASSIGNED
        assert "12 of 12 partitions were assigned to none of 1 members" in worker.log.read_text()


def test_worker_whose_place_in_the_group_is_lost_ends(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Else it would wait for partitions until the watchdog's two minutes are over."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", fault="find_no_broker") as worker:
        assert worker.exit_code() == ExitCode.DELIVERY_FAILED
        assert "coordination of the group failed" in worker.log.read_text()


def test_worker_whose_fetching_has_ended_ends(kafka_bootstrap: str, run_directory: Path) -> None:
    """Else it would stand at the ends it knew, ready and without lag, for ever."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", fault="end_fetching") as worker:
        assert worker.exit_code() == ExitCode.DELIVERY_FAILED
        assert "fetching has ended" in worker.log.read_text()


def test_worker_without_its_topics_ends(kafka_bootstrap: str, run_directory: Path) -> None:
    """A missing topic, or one with another partition count, is named before anything starts."""
    settings = {"start_timeout_s": 1.0}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings, partitions={"red": 7})
    with stream.worker("missing", changelog_topic="no-such-topic") as worker:
        assert worker.exit_code() == ExitCode.TOPICS_UNUSABLE
    with stream.worker("uneven") as worker:
        assert worker.exit_code() == ExitCode.TOPICS_UNUSABLE
        assert f"{stream.events[0]} has 7 partitions, not 12" in worker.log.read_text()


def test_worker_whose_source_lost_its_beginning_ends(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A source that begins after what the state has applied would give a silent partial view."""
    stream = make_stream(kafka_bootstrap, run_directory)
    stream.send(300)
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.delete_records({TopicPartition(stream.events[1], 5): -1})
    with stream.worker("only") as worker:
        assert worker.exit_code() == ExitCode.SOURCE_TRUNCATED
        assert f"{stream.events[1]} partition 5 begins at offset" in worker.log.read_text()
    assert [r for r in stream.read(stream.arguments["timeline_topic"]) if r.key != META] == []


def test_worker_does_not_go_on_with_the_state_of_a_newer_release(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """It would drop what it does not know: so it ends, and writes nothing."""
    stream = make_stream(kafka_bootstrap, run_directory)
    changelog = stream.arguments["changelog_topic"]
    with stream.worker("older") as worker:
        worker.wait_for("partitions_open")
        stream.send(100)
        stream.wait_for_entries(100)
    newest = [record for record in stream.read(changelog) if record.key == META][-1]
    value = re.sub(rb'"v":\d+', b'"v":99', newest.value)
    stream.send_one(changelog, newest.partition, META, value)
    before = len(stream.read(changelog))
    stream.send(100)
    with stream.worker("older-again") as worker:
        assert worker.exit_code() == ExitCode.STATE_VERSION
        assert "META version 99 is of a newer release" in worker.log.read_text()
    assert len(stream.read(changelog)) == before
    assert len(stream.entries()) == 100


@pytest.mark.parametrize("committed", [False, True])
def test_worker_without_state_does_not_write_its_record_again(
    kafka_bootstrap: str, run_directory: Path, *, committed: bool
) -> None:
    """A record beside an empty state ends the worker; what a killed one had begun does not."""
    stream = make_stream(kafka_bootstrap, run_directory)
    alerts = stream.arguments["alerts_topic"]
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=alerts)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(alerts, key=b"k", value=b"v", partition=5).get(10)
    if committed:
        producer.commit_transaction()
    else:
        producer.abort_transaction()
    producer.close()
    with stream.worker("only", guarded_topics=[alerts]) as worker:
        if committed:
            assert worker.exit_code() == ExitCode.RECORD_WITHOUT_STATE
            assert f"{alerts} partition 5 holds records" in worker.log.read_text()
        else:
            worker.wait_for("partitions_open")


def test_worker_whose_loop_is_wedged_ends(kafka_bootstrap: str, run_directory: Path) -> None:
    """Heartbeats go on in another thread, so only the watchdog can end a wedged worker."""
    settings = {"watchdog_s": 6.0}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings, hang_on=-1)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send_one(stream.events[0], 4, b"key", b"-1")
        assert worker.exit_code() == ExitCode.WATCHDOG


def test_worker_listens_on_no_port_and_stops_cleanly(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Faust's web server, which serves table data to everybody, is off; SIGTERM ends with 0."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        stream.send(500)
        assert worker.process is not None
        assert _listening_sockets(worker.process.pid) == set()
        started = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.exit_code(10) == 0
        assert time.monotonic() - started < 10
        assert "worker_stopped" in worker.log.read_text()
        worker.start()
        stream.wait_for_entries(500)
    stream.judge()


def _listening_sockets(pid: int) -> set[str]:
    """Return the inodes of the process's sockets that are in state LISTEN."""
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening.add(f"socket:[{fields[9]}]")
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        own.add(str(descriptor.readlink()))
    return listening & own
