"""Everything but the record deleted: the same state again, and nothing published twice.

The fold's alerts name the event that caused them, so an order of the events other than the first
run's would be seen: keys have events on all topics.
"""

import random
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from integration_tests.streaming.harness import META, PARTITIONS, Stream, Worker, make_stream
from services.streaming.exits import ExitCode

EVENTS = 3_000
KEYS = 50
"""Shares no divisor with the three event topics: every key has events on all of them."""

Alerts = list[tuple[int, int, bytes, bytes, Any]]


def guarded_stream(kafka_bootstrap: str, directory: Path, **overrides: Any) -> Stream:
    """Make topics whose alerts and dead letters must not stand twice."""
    stream = make_stream(kafka_bootstrap, directory, **overrides)
    stream.arguments["guarded_topics"] = [
        stream.arguments["alerts_topic"],
        stream.arguments["dead_letter_topic"],
    ]
    return stream


def fold_log(stream: Stream, *, poison: bool) -> tuple[list[dict[bytes, bytes]], Alerts]:
    """Fold a log that is complete before the worker starts; return its state and its alerts.

    ``poison``: one record is put aside, so that there is a dead letter.
    """
    stream.send(EVENTS, keys=KEYS)
    if poison:
        stream.send_one(stream.events[2], 3, b"poison", b"-1")
    with stream.worker("first", fail_on=-1) as worker:
        worker.wait_until(
            lambda: events_told(stream) >= EVENTS and len(dead_letters(stream)) >= poison,
            {ExitCode.STEP_FAILED},
        )
    stream.judge()
    return stream.state(), alerts(stream)


def alerts(stream: Stream) -> Alerts:
    """Return every alert with its place on the topic."""
    found = stream.read(stream.arguments["alerts_topic"])
    return sorted((r.partition, r.offset, r.key, r.value, r.headers) for r in found)


def dead_letters(stream: Stream) -> list[Any]:
    """Return what was put aside."""
    return stream.read(stream.arguments["dead_letter_topic"])


def lose_everything_but_the_record(stream: Stream) -> None:
    """Delete local stores, state and group."""
    shutil.rmtree(stream.directory / "first")
    stream.delete_group()
    stream.make_anew(stream.arguments["changelog_topic"])


def wait_rebuilt(stream: Stream, *workers: Worker, exits: Iterable[int] = ()) -> None:
    """Wait until every partition's newest META says that it is not rebuilding any more.

    A unit has to come after the last one that was rebuilt: the workers write ticks.
    """
    first, *others = workers

    def rebuilt() -> bool:
        for worker in others:
            worker.restart_after(exits)
        positions = stream.positions()
        return len(positions) == PARTITIONS and not any("rebuild" in m for m in positions.values())

    first.wait_until(rebuilt, exits)


def events_told(stream: Stream) -> int:
    """Return how many events the timeline tells of, each once."""
    return len({e.key for e in stream.entries() if not e.key.startswith(stream.control.encode())})


@pytest.mark.parametrize("fault", [None, "delay_first_event_topic"])
def test_rebuild_gives_the_same_state_and_publishes_nothing(
    kafka_bootstrap: str, run_directory: Path, fault: str | None
) -> None:
    """Refused by itself, done when allowed; also when one topic's records come late."""
    stream = guarded_stream(kafka_bootstrap, run_directory, settings={"tick_interval_s": 1.0})
    state, published = fold_log(stream, poison=True)
    lose_everything_but_the_record(stream)
    with stream.worker("refused") as refused:
        assert refused.exit_code() == ExitCode.RECORD_WITHOUT_STATE
        assert "msctl rebuild" in refused.log.read_text()
    asked: dict[str, Any] = {"settings": {"rebuild": True}, "ticks": True, "fail_on": -1}
    if fault:
        asked["fault"] = fault
    with stream.worker("second", **asked) as worker:
        if fault:
            others = 2 * EVENTS // 3
            delivered = run_directory / "second.delivered"
            worker.wait_until(
                lambda: delivered.exists() and int(delivered.read_text() or 0) >= others
            )
            (run_directory / "second.release").touch()
        wait_rebuilt(stream, worker, exits={ExitCode.STEP_FAILED})
        assert stream.state() == state
        assert alerts(stream) == published
        assert len(dead_letters(stream)) == 1
        log = worker.log.read_text()
        assert '"differing": 0' in log
        assert '"missing": 0' in log
        # What comes from now on is published as ever.
        stream.send(600, keys=KEYS)
        worker.wait_until(lambda: events_told(stream) >= EVENTS + 600)
    assert len(alerts(stream)) > len(published)
    stream.judge(rebuilt=True)


@pytest.mark.timeout(200)
def test_state_written_for_another_changelog_is_refused(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """A worker that outlives the topic's deletion writes its next unit into the new one by name.

    Whoever believed that unit's position would call a state whole that holds next to nothing.
    """
    stream = guarded_stream(kafka_bootstrap, run_directory)
    fold_log(stream, poison=False)
    changelog = stream.arguments["changelog_topic"]
    last = max((r for r in stream.read(changelog) if r.key == META), key=lambda r: r.timestamp)
    lose_everything_but_the_record(stream)
    stream.send_one(changelog, last.partition, META, last.value)
    with stream.worker("second", settings={"rebuild": True}) as worker:
        assert worker.exit_code() == ExitCode.SOURCE_TRUNCATED
        assert f"{changelog} has id" in worker.log.read_text()


@pytest.mark.timeout(400)
def test_rebuild_that_is_killed_and_changes_hands_publishes_nothing(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """The mark travels with the state: kills change nothing, nor a worker without the permission.

    That one may go on with partitions whose rebuild has begun.
    """
    settings = {"tick_interval_s": 1.0, "unit_records": 10}
    stream = guarded_stream(kafka_bootstrap, run_directory, settings=settings)
    state, published = fold_log(stream, poison=False)
    lose_everything_but_the_record(stream)
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    asked = {"settings": {"rebuild": True}, "slow_s": 0.05, "ticks": True}
    with stream.worker("second", **asked) as second:
        positions: dict[int, Any] = {}

        def all_begun() -> bool:
            positions.update(stream.positions())
            return len(positions) == PARTITIONS

        second.wait_until(all_begun)
        assert any("rebuild" in meta for meta in positions.values())
        with stream.worker("third", slow_s=0.05, ticks=True) as third:
            for _ in range(3):
                time.sleep(moments.uniform(1.0, 4.0))
                second.kill()
                second.start()
                third.restart_after({ExitCode.FENCED})
            wait_rebuilt(stream, second, third, exits={ExitCode.FENCED})
    assert stream.state() == state, f"seed {seed}"
    assert alerts(stream) == published, f"seed {seed}"
    stream.judge(rebuilt=True)


def test_source_made_anew_under_the_state_is_refused(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """The offsets of another topic say nothing, also when it ends beyond what was applied."""
    stream = make_stream(kafka_bootstrap, run_directory)
    stream.send(300)
    with stream.worker("only"):
        stream.wait_for_entries(300)
    stream.make_anew(stream.events[1])
    stream.send(1_200)
    with stream.worker("only") as worker:
        assert worker.exit_code() == ExitCode.SOURCE_TRUNCATED
        assert f"{stream.events[1]} has id" in worker.log.read_text()
