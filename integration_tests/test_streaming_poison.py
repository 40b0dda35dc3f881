"""A record that ends the process is put aside at its third death, and nothing else ever is."""

import random
import signal
import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from integration_tests.streaming.harness import Stream, Worker, make_stream
from services.runtime.testing import NoText
from services.streaming.exits import ExitCode

POISON = -1
KILLED = -signal.SIGKILL
EVENTS = 600
ENDINGS = {
    "die_on": KILLED,
    "fail_on": ExitCode.STEP_FAILED,
    "hang_on": ExitCode.WATCHDOG,
    "wedge_on": 1,
}
"""What the poison does → how the process ends. A wedged one keeps the interpreter to itself."""
WATCHDOG_S = 15.0
"""Only where the watchdog is what ends the process: a busy broker must not look like a poison."""


def dead_letters(stream: Stream) -> list[tuple[bytes, bytes]]:
    """Return names and values of what was put aside."""
    return [(r.key, r.value) for r in stream.read(stream.arguments["dead_letter_topic"])]


def run_until_aside(stream: Stream, worker: Worker, code: int, count: int) -> int:
    """Restart the worker as a supervisor does, until something is put aside; return its deaths."""
    before = worker.starts
    with stream.reader(stream.arguments["dead_letter_topic"]) as read_on:
        worker.wait_until(lambda: len(read_on()) >= count, {code})
    return worker.starts - before


@pytest.mark.parametrize("poison", ENDINGS)
def test_record_that_ends_the_process_is_put_aside_at_its_third_death(
    kafka_bootstrap: str, run_directory: Path, poison: str
) -> None:
    """Whatever way it kills: in a unit with others it is found by smaller and smaller units."""
    ended_by_watchdog = poison in {"hang_on", "wedge_on"}
    settings = {"watchdog_s": WATCHDOG_S} if ended_by_watchdog else {}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings)
    stream.send(EVENTS)
    stream.send_one(stream.events[1], 4, b"poison", b"%d" % POISON)
    stream.send(EVENTS)
    with stream.worker("only", **{poison: POISON}) as worker:
        deaths = run_until_aside(stream, worker, ENDINGS[poison], 1)
        stream.wait_for_entries(2 * EVENTS)
        # One with others around it, one in its part of them, three alone; found alone, three.
        assert deaths in {3, 4, 5}
        assert worker.process is not None
        assert worker.process.poll() is None
    ((name, value),) = dead_letters(stream)
    assert value == b"%d" % POISON
    assert name.startswith(f"{stream.events[1]}|4|".encode())
    stream.judge()


def test_record_with_a_header_name_that_is_no_text_stops_nobody(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """The broker takes any bytes for a name; the record is judged like any other."""
    stream = make_stream(kafka_bootstrap, run_directory)
    stream.send(EVENTS)
    with KafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        header = (NoText("name"), b"value")
        sent = producer.send(stream.events[1], b"1", b"key-1", headers=[header], partition=4)
        sent.get(timeout=30)
    stream.send(EVENTS)
    with stream.worker("only"):
        stream.wait_for_entries(2 * EVENTS + 1)
    assert len({entry.key for entry in stream.entries()}) == 2 * EVENTS + 1
    assert dead_letters(stream) == []


def test_two_poisons_of_one_worker_are_both_put_aside(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """What one of them was found guilty of is not forgotten when the other kills the process."""
    stream = make_stream(kafka_bootstrap, run_directory, settings={"session_timeout_s": 6.0})
    for partition in (1, 8):
        stream.send_one(stream.events[1], partition, b"poison", b"%d" % POISON)
    with stream.worker("only", die_on=POISON, fault="delay_commits") as worker:
        deaths = run_until_aside(stream, worker, KILLED, 2)
        stream.wait_for_entries(0)
    assert len(dead_letters(stream)) == 2
    assert 6 <= deaths <= 8
    stream.judge()


def test_kills_at_random_moments_put_nothing_aside(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """An operator's kill -9 is no record's fault, however often it comes; units are small here."""
    stream = make_stream(kafka_bootstrap, run_directory, settings={"unit_records": 5})
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    with stream.worker("only") as worker:
        worker.wait_for("partitions_open")
        sender = threading.Thread(target=stream.send, args=(4_000,))
        sender.start()
        for kill in range(8):
            worker.wait_for("partitions_open", times=kill + 1)
            time.sleep(moments.uniform(0.0, 0.6))
            worker.kill()
            worker.start()
        sender.join()
        stream.wait_for_entries(4_000)
    assert dead_letters(stream) == [], f"seed {seed}"
    stream.judge()
