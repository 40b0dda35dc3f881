"""A new version of the state, built beside the running one, takes over: nothing lost or doubled."""

import signal
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from integration_tests.streaming.harness import Stream, Worker, make_stream
from services.streaming.exits import ExitCode

KEYS = 50
"""Shares no divisor with the three event topics: every key has events on all of them."""


WAIT_S = 300.0
"""On a quiet machine a tenth of it is enough."""


def all_applied(stream: Stream, changelog: str, count: int) -> bool:
    """Tell whether a changelog's states contain ``count`` events."""
    states = stream.state(changelog)
    return sum(int(value[1:].split(b",")[0]) for p in states for value in p.values()) >= count


def wait_applied(
    stream: Stream, changelog: str, count: int, workers: Mapping[Worker, Collection[int]]
) -> None:
    """Wait for the version of a changelog to contain ``count`` events.

    Workers that end with one of their codes meanwhile are started again; with another one the test
    fails. A worker of the former version that is refused stays away.
    """
    deadline = time.monotonic() + WAIT_S
    while not all_applied(stream, changelog, count):
        logs = "\n".join(worker.log.read_text()[-2000:] for worker in workers)
        assert time.monotonic() < deadline, logs
        for worker, codes in workers.items():
            if not is_refused(worker):
                worker.restart_after(set(codes))
        time.sleep(0.3)


def is_refused(worker: Worker) -> bool:
    """Tell whether a worker was told that its version may not go on."""
    assert worker.process is not None
    return worker.process.poll() == ExitCode.STATE_VERSION


def assert_not_ahead(stream: Stream, shadow: str) -> None:
    """Assert that a shadow has applied no record that the running version has not.

    The shadow is read first: the other one may only go on meanwhile. Offsets without a record
    (markers of transactions) may be passed by either before the other.
    """
    behind = stream.positions(shadow)
    ahead = stream.positions()
    suspect = {
        (topic, partition): range(ahead[partition]["applied"].get(topic, [0])[0], offset)
        for partition, meta in behind.items()
        for topic, (offset, _) in meta["applied"].items()
    }
    for topic in {topic for (topic, _), offsets in suspect.items() if offsets}:
        for record in stream.read(topic):
            assert record.offset not in suspect.get((topic, record.partition), range(0)), record


def watch_shadow(stream: Stream, running: Worker, shadowing: dict[str, Any]) -> None:
    """Let a shadow follow, with a kill in it, then without the version it follows."""
    changelog = shadowing["changelog_topic"]
    with stream.worker("next", **shadowing, phases=["withheld"]) as shadow:
        sender = threading.Thread(target=stream.send, args=(1_500,), kwargs={"keys": KEYS})
        sender.start()
        for _ in range(5):
            assert_not_ahead(stream, changelog)
            shadow.restart_after({-signal.SIGKILL})
        sender.join()
        wait_applied(stream, changelog, 2_400, {shadow: {-signal.SIGKILL}})
        assert_not_ahead(stream, changelog)
        assert shadow.died_in() == {"withheld"}
        running.signal(signal.SIGTERM)
        assert running.exit_code() == 0
        stream.send(300, keys=KEYS)
        time.sleep(3.0)  # it must not go on alone, however long it looks
        assert not all_applied(stream, changelog, 2_401)
        shadow.signal(signal.SIGTERM)
        assert shadow.exit_code() == 0
    (stream.directory / "next" / "died-withheld").unlink()


def take_over(stream: Stream, running: Worker, live: dict[str, Any]) -> None:
    """Let the next version take over from one that is never stopped, killed in each phase."""
    changelog = live["changelog_topic"]
    may_be_fenced: set[int] = {ExitCode.FENCED, ExitCode.COMMIT_FAILED}
    phases = {"closing", "closed", "withheld", "published"}
    sender = threading.Thread(target=stream.send, args=(1_500,), kwargs={"keys": KEYS})
    sender.start()
    with stream.worker("next", **live, phases=list(phases)) as successor:
        codes: dict[Worker, set[int]] = {
            successor: {*may_be_fenced, -signal.SIGKILL},
            running: may_be_fenced,
        }
        wait_applied(stream, changelog, 2_700, codes)
        sender.join()
        wait_applied(stream, changelog, 4_200, codes)
        # It may still be running, and learn only at its next commit that it is fenced.
        if running.exit_code() in may_be_fenced:
            running.start()
        assert running.exit_code() == ExitCode.STATE_VERSION
        # Where the running version was quick, these are the first that the successor publishes.
        stream.send(300, keys=KEYS)
        wait_applied(stream, changelog, 4_500, codes)
        successor.restart_after(codes[successor])
        assert successor.died_in() == phases
        successor.signal(signal.SIGTERM)
        assert successor.exit_code() == 0


@pytest.mark.timeout(1200)
def test_shadow_stays_behind_and_its_successor_takes_over_exactly(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Events come all the time; the next version is killed in every phase of its way.

    The running version is not stopped for the switch: it is fenced, and then refused.
    """
    settings = {"tick_interval_s": 1.0, "unit_records": 20}
    stream = make_stream(kafka_bootstrap, run_directory, settings=settings)
    stream.arguments["guarded_topics"] = [stream.arguments["alerts_topic"]]
    dying = {"ticks": True, "fault": "die_once_a_phase"}
    shadowing = {**stream.next_version(shadow=True), **dying}
    stream.send(900, keys=KEYS)
    with stream.worker("running", ticks=True) as running:
        running.wait_for("partitions_open")
        watch_shadow(stream, running, shadowing)
        # Started without knowing the running one, it would publish what that one publishes.
        alone = {n: v for n, v in shadowing.items() if n not in {"predecessor", "fault"}}
        with stream.worker("next", **alone) as forgetful:
            assert forgetful.exit_code() == ExitCode.STATE_VERSION
        running.start()
        running.wait_for("partitions_open", times=2)
        stream.wait_for_entries(2_700)
        take_over(stream, running, {**stream.next_version(shadow=False), **dying})
        # What it follows cannot go on any more: it would wait for ever.
        with stream.worker("next", **stream.next_version(shadow=True)) as late:
            assert late.exit_code() == ExitCode.STATE_VERSION
    stream.arguments["changelog_topic"] = shadowing["changelog_topic"]
    stream.judge()


@pytest.mark.timeout(600)
def test_state_of_an_unchanged_format_is_the_same(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """Compared before the switch: what the shadow has made is what the running version holds."""
    stream = make_stream(kafka_bootstrap, run_directory)
    stream.send(1_500, keys=KEYS)
    shadowing = stream.next_version(shadow=True)
    with stream.worker("running"), stream.worker("next", **shadowing) as shadow:
        wait_applied(stream, shadowing["changelog_topic"], 1_500, {shadow: set()})
    assert stream.state(shadowing["changelog_topic"]) == stream.state()
    stream.judge()
