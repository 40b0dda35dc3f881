"""What runs in the consumer's thread: taking what is fetched, seeking, what is for display.

A poll never awaits between the check of the assignment and taking the records, so it cannot span a
rebalance and hand the records of the new assignment to a caller of the old one.
"""

# ruff: noqa: SLF001  Replacing parts of a library means reaching into it; guards.py watches them.

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.streaming.chunks import Chunk, TopicEnd
from services.streaming.fetch_answers import FetchAnswers
from services.streaming.interface import SourceRecord

_COMMIT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll brought: chunks, and what the brokers said of the ends, by partition number."""

    chunks: dict[int, list[Chunk]]
    ends: dict[int, list[TopicEnd]]


def current_assignment(kafka: AIOKafkaConsumer) -> object:
    """Return the assignment object the positions belong to."""
    return kafka._subscription.subscription.assignment


def _is_current(kafka: AIOKafkaConsumer, assignment: object | None) -> bool:
    subscription = kafka._subscription.subscription
    return bool(
        subscription is not None
        and not kafka._subscription.reassignment_in_progress
        and subscription.assignment is assignment
    )


async def poll(
    kafka: AIOKafkaConsumer,
    answers: FetchAnswers,
    assignment: Any,
    wanted: set[TopicPartition],
    patience_s: float,
) -> Poll | None:
    """Take what is fetched; if that is nothing, wait once, outside of the taking.

    None if the assignment is another one by now. aiokafka's ``fetched_records`` awaits only while a
    reassignment is in progress (checked just before, in the same thread) or when it is given a
    timeout (it is given none).
    """
    fetcher = kafka._fetcher
    for last in (False, True):
        if not _is_current(kafka, assignment):
            return None
        # Only taking what is buffered moves a position; most topic-partitions have nothing there.
        states = {tp: assignment.state_value(tp) for tp in wanted & fetcher._records.keys()}
        before = {tp: s.position for tp, s in states.items() if s.has_valid_position}
        with kafka._subscription.fetch_context():
            fetched = await fetcher.fetched_records(
                wanted, timeout=0, max_records=kafka._max_poll_records
            )
        if fetched or last or _moved(states, before):
            return _collect(answers, assignment, wanted, before, fetched)
        waiter = fetcher._create_fetch_waiter()
        await asyncio.wait([waiter], timeout=patience_s)
        if not waiter.done():
            waiter.cancel()
    return None


def _moved(states: dict[TopicPartition, Any], before: dict[TopicPartition, int]) -> bool:
    return any(states[tp].position != position for tp, position in before.items())


def _collect(
    answers: FetchAnswers,
    assignment: Any,
    wanted: set[TopicPartition],
    before: dict[TopicPartition, int],
    fetched: dict[TopicPartition, list[SourceRecord]],
) -> Poll:
    """Turn what was taken into chunks between fetch positions, and the answers about the ends."""
    found = Poll({}, {})
    for tp in wanted:
        state = assignment.state_value(tp)
        if not state.has_valid_position:
            continue
        position, answer = state.position, answers.latest(tp)
        start = before.get(tp, position)
        if position != start:
            answered_ns = time.monotonic_ns() if answer is None else answer.answered_ns
            chunk = Chunk(tp.topic, start, position, answered_ns, fetched.get(tp, ()))
            found.chunks.setdefault(tp.partition, []).append(chunk)
        if answer is not None and answer.stable_end is not None:
            end = TopicEnd(tp.topic, position, answer.stable_end, answer.asked_ns)
            found.ends.setdefault(tp.partition, []).append(end)
    return found


async def hold(kafka: AIOKafkaConsumer, assignment: object) -> bool:
    """Fetch nothing before `seek` says from where, if the assignment is still the same one.

    Where nobody tells a position, aiokafka looks for one itself: it would fetch what nobody wants,
    up to a megabyte of each topic-partition for as long as a recovery takes, and one look-up that
    fails holds back all that the same broker leads.
    """
    if not _is_current(kafka, assignment):
        return False
    for tp in kafka.assignment():
        kafka.seek(tp, 0)
        kafka.pause(tp)
    return True


async def seek(
    kafka: AIOKafkaConsumer,
    answers: FetchAnswers,
    assignment: object,
    positions: dict[TopicPartition, int],
) -> bool:
    """Let these be fetched from here, if the assignment is still the same one; tell whether."""
    if not _is_current(kafka, assignment):
        return False
    answers.forget(positions)
    for tp, offset in positions.items():
        kafka.seek(tp, offset)
        kafka.resume(tp)
    return True


async def commit_display(
    kafka: AIOKafkaConsumer, offsets: dict[TopicPartition, int]
) -> Exception | None:
    """Commit group offsets, for lag displays only; return why that was not possible."""
    mine = kafka.assignment()
    try:
        commit = kafka.commit({tp: offset for tp, offset in offsets.items() if tp in mine})
        await asyncio.wait_for(commit, _COMMIT_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  a display must not end the work
        return error
    return None
