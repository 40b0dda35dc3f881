"""How long the brokers have told nothing is known, and what is at hand waits for nobody."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.streaming.fetch_answers import Answer, FetchAnswers
from services.streaming.settings import EngineSettings

ONE, OTHER = TopicPartition("a", 0), TopicPartition("a", 1)
SECOND = 1_000_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock, in nanoseconds, as the only element."""
    now = [100 * SECOND]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    return now


@pytest.fixture
def buffered() -> dict[TopicPartition, Any]:
    """What is fetched and not taken."""
    return {}


@pytest.fixture
def answers(clock: list[int], buffered: dict[TopicPartition, Any]) -> FetchAnswers:
    """Make the watch of a consumer that has fetched nothing yet, at 100 s."""
    assert clock
    fetcher: Any = SimpleNamespace(_proc_fetch_request=None, _records=buffered)
    return FetchAnswers(fetcher, EngineSettings())


def answered(answers: FetchAnswers, tp: TopicPartition, at: int) -> None:
    """Note an answer."""
    answers._latest[tp] = Answer(at, at, 0)


def test_oldest_answer_counts_and_one_that_never_came_since_the_seek(
    clock: list[int], answers: FetchAnswers
) -> None:
    """One topic-partition that is forgotten is enough."""
    answered(answers, ONE, 109 * SECOND)
    clock[0] = 110 * SECOND
    assert answers.answered_ns([ONE]) == 109 * SECOND
    assert answers.answered_ns([ONE, OTHER]) == 100 * SECOND
    answers.forget([OTHER])
    assert answers.answered_ns([ONE, OTHER]) == 109 * SECOND
    clock[0] = 120 * SECOND
    answers.forget([ONE])
    assert answers.answered_ns([ONE, OTHER]) == 110 * SECOND


def test_what_is_at_hand_waits_only_from_when_it_was_taken(
    clock: list[int], answers: FetchAnswers, buffered: dict[TopicPartition, Any]
) -> None:
    """A partition that works off a backlog of minutes fetches nothing, and is not forgotten."""
    answered(answers, ONE, 101 * SECOND)
    buffered[ONE] = object()
    clock[0] = 190 * SECOND
    assert answers.answered_ns([ONE]) == 190 * SECOND
    del buffered[ONE]
    clock[0] = 191 * SECOND
    assert answers.answered_ns([ONE]) == 190 * SECOND
