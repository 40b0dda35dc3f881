"""Nothing lost, nothing doubled: whatever happens to the workers (judged on the raw topics)."""

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from integration_tests.streaming.harness import PARTITIONS, Stream, Worker, make_stream
from services.local.kafka import LocalKafka
from services.streaming.exits import ExitCode

EVENTS = 3_000


def test_stream_with_a_worker_that_joins_and_leaves_is_exact(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A second worker takes half of the partitions under load and gives them back."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("first") as first:
        first.wait_for("partitions_open")
        sender = threading.Thread(target=stream.send, args=(EVENTS,))
        sender.start()
        with stream.worker("second") as second:
            second.wait_for("partitions_open")
            first.wait_for("partitions_open", times=2)
            stream.send(600)
            second.signal(signal.SIGTERM)
            assert second.exit_code(10) == 0
        sender.join()
        stream.send(600)
        stream.wait_for_entries(len(stream.sent))
        stream.judge()
        started = time.monotonic()
        first.signal(signal.SIGTERM)
        assert first.exit_code(10) == 0
        assert time.monotonic() - started < 10


def test_stream_with_workers_that_do_not_divide_its_partitions_is_exact(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """The last of three that join one by one gets one of four partitions; so it does killed.

    An uneven share once left it with none: it ended, and started again it revoked all others'
    partitions again, for ever.
    """
    words = ("control", "red", "green", "blue", "lifecycle", "timeline", "alerts", "dead")
    counts = dict.fromkeys(words, 4)
    stream = make_stream(kafka_bootstrap, run_directory, partitions=counts, partition_count=4)
    with ExitStack() as running:
        workers: list[Worker] = []
        for name in ("first", "second", "third"):
            workers.append(running.enter_context(stream.worker(name)))
            _wait_for_whole_group(workers)
        stream.send(300)
        workers[0].kill()
        _wait_for_whole_group(workers[1:])
        workers[0].start()
        _wait_for_whole_group(workers)
        stream.send(300)
        stream.wait_for_entries(len(stream.sent))
        assert [worker.starts for worker in workers] == [2, 1, 1]
    stream.judge()


def _wait_for_whole_group(workers: list[Worker]) -> None:
    """Wait until four partitions are open at these workers and each has one; none may end."""

    def whole() -> bool:
        last = [_newest_partitions(worker) for worker in workers]
        return all(last) and sorted(number for owned in last for number in owned) == [0, 1, 2, 3]

    workers[0].wait_until(whole)
    for worker in workers:
        worker.restart_after(())


def _newest_partitions(worker: Worker) -> list[int]:
    """Return what a worker opened last, or nothing if that is revoked or not open yet."""
    lines = [json.loads(x) for x in worker.log.read_text().splitlines() if '"partitions_' in x]
    done = [x for x in lines if x["event"] in {"partitions_assigned", "partitions_open"}]
    return done[-1]["partitions"] if done and done[-1]["event"] == "partitions_open" else []


def test_stream_with_a_worker_killed_and_restarted_is_exact(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A kill -9 comes in mid-unit; the same worker continues from its own local store."""
    stream = make_stream(kafka_bootstrap, run_directory)
    with stream.worker("only", settings={"unit_records": 50}) as worker:
        worker.wait_for("partitions_open")
        sender = threading.Thread(target=stream.send, args=(EVENTS,))
        sender.start()
        for _ in range(2):
            time.sleep(0.5)
            worker.kill()
            worker.start()
        sender.join()
        stream.wait_for_entries(EVENTS)
    stream.judge()


def test_partitions_that_a_worker_had_go_on_while_it_reads_those_it_takes_over(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Nor does a third worker, which joins in the middle of the reading, make anything inexact."""
    settings = {"soon_offsets": 10, "watchdog_s": 600.0}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings)
    with (
        stream.worker("heir", fault="delay_reading") as heir,
        stream.worker("gone") as gone,
    ):
        heir.wait_until(lambda: len(_newest_partitions(heir)) == PARTITIONS // 2)
        gone.wait_until(lambda: len(_newest_partitions(gone)) == PARTITIONS // 2)
        stream.send(EVENTS, keys=600)
        before = {entry.key for entry in stream.wait_for_entries(EVENTS)}
        gone.kill()
        heir.wait_for("partitions_go_on")
        line = _last_line(heir, "partitions_go_on")
        assert len(line["partitions"]) == len(line["reading"]) == PARTITIONS // 2
        own, taken = line["partitions"][0], line["reading"][0]
        stream.send_one(stream.events[0], taken, b"later", b"1")
        stream.send_one(stream.events[0], own, b"now", b"2")
        entries = stream.wait_for_entries(EVENTS + 1)
        assert {entry.partition for entry in entries if entry.key not in before} == {own}
        assert not _newest_partitions(heir)

        sender = threading.Thread(target=stream.send, args=(EVENTS,))
        sender.start()
        with stream.worker("third") as third:
            third.wait_for("partitions_open")
            (run_directory / "heir.release").touch()
            sender.join()
            stream.wait_for_entries(len(stream.sent))
            heir.restart_after(())
            third.restart_after(())
    stream.judge()


def test_worker_that_is_stopped_while_it_reads_ends_its_units_first(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """What it had works on to the end; what it was reading is another one's to read."""
    settings = {"soon_offsets": 10, "watchdog_s": 600.0}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings)
    with stream.worker("first", fault="delay_reading") as first, stream.worker("second") as second:
        first.wait_until(lambda: len(_newest_partitions(first)) == PARTITIONS // 2)
        second.wait_until(lambda: len(_newest_partitions(second)) == PARTITIONS // 2)
        stream.send(EVENTS, keys=600)
        stream.wait_for_entries(EVENTS)
        second.kill()
        first.wait_for("partitions_go_on")
        sender = threading.Thread(target=stream.send, args=(EVENTS,))
        sender.start()
        first.wait_until(lambda: len(stream.entries()) > EVENTS)
        first.signal(signal.SIGTERM)
        first.wait_for("worker_stopped")
        (run_directory / "first.release").touch()  # the thread of the fault ends, too
        assert first.exit_code() == 0
        second.start()
        sender.join()
        stream.wait_for_entries(len(stream.sent))
        second.restart_after(())
    stream.judge()


def _last_line(worker: Worker, event: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if event in line]
    found: dict[str, Any] = lines[-1]
    return found


def test_stream_with_a_paused_worker_fences_the_zombie(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A worker stopped longer than its session finds its partitions taken, and ends itself.

    Its units are small and slow, so that it is stopped with most of its work before it.
    """
    stream = make_stream(kafka_bootstrap, run_directory)
    slow = {"slow_s": 0.2, "settings": {"unit_records": 10}}
    with stream.worker("zombie", **slow) as zombie:
        zombie.wait_for("partitions_open")
        with stream.worker("heir") as heir:
            heir.wait_for("partitions_open")
            zombie.wait_for("partitions_open", times=2)
            sender = threading.Thread(target=stream.send, args=(EVENTS,))
            sender.start()
            _wait_for_entries_of(zombie, stream)
            zombie.signal(signal.SIGSTOP)
            heir.wait_for('"partitions": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]')
            sender.join()
            stream.wait_for_entries(EVENTS)
            zombie.signal(signal.SIGCONT)
            assert zombie.exit_code() == ExitCode.FENCED
            stream.send(300)
            stream.wait_for_entries(len(stream.sent))
    stream.judge()


def _wait_for_entries_of(worker: Worker, stream: Stream) -> None:
    """Wait until a worker has committed something in the partitions it was assigned last."""
    opened = [line for line in worker.log.read_text().splitlines() if "partitions_open" in line]
    mine = set(json.loads(opened[-1])["partitions"])
    worker.wait_until(lambda: any(entry.partition in mine for entry in stream.entries()))


def test_worker_with_a_silent_broker_is_not_ready_until_it_answers(run_directory: Path) -> None:
    """A broker that stands still refuses nothing; a lag of 0 would look like health."""
    with LocalKafka(run_directory / "kafka") as kafka:
        settings = {"answer_age_s": 3.0}
        stream = make_stream(kafka.bootstrap_servers, run_directory, settings=settings)
        ready = run_directory / "only.ready"
        with stream.worker("only", fault="tell_readiness") as worker:
            worker.wait_for("partitions_open")
            worker.wait_until(lambda: ready.read_text() == "True")
            os.kill(kafka.pid, signal.SIGSTOP)
            try:
                worker.wait_until(lambda: ready.read_text() == "False")
            finally:
                os.kill(kafka.pid, signal.SIGCONT)
            stream.send(300)
            worker.wait_until(
                lambda: ready.read_text() == "True" and len(stream.entries()) >= 300,
                {ExitCode.FENCED, ExitCode.COMMIT_FAILED},
            )
        stream.judge()


def test_stream_with_the_broker_killed_is_exact(run_directory: Path) -> None:
    """A broker that crashes and returns costs time, and no record.

    Transactions are retried through the outage; if it outlasts their timeout the broker aborts
    them, and the worker ends as one that was fenced, to be started again by its supervisor.
    """
    with LocalKafka(run_directory / "kafka") as kafka:
        stream = make_stream(kafka.bootstrap_servers, run_directory)
        with stream.worker("only", slow_s=0.05) as worker:
            worker.wait_for("partitions_open")
            stream.send(EVENTS)
            kafka.kill()
            time.sleep(2.0)
            kafka.start()
            stream.send(300)
            worker.wait_until(
                lambda: len(stream.entries()) >= len(stream.sent),
                {ExitCode.FENCED, ExitCode.COMMIT_FAILED},
            )
        stream.judge()
