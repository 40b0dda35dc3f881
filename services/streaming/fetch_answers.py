"""Tell which request an answer of a broker belongs to, and ask anew at once when records came.

The merge releases a record when every other topic was found at its end by a request sent after the
answer that brought the record. aiokafka keeps neither time: it stamps answers with a wall clock in
milliseconds, and two answers may come in one. So its handling of a fetch is wrapped: the times
before and after it are kept for every topic-partition whose answer it accepted.

While a record waits for that confirmation, the next request to each broker must not be a long poll,
or every lone record would wait for the whole of it: it is sent with no wait at all.

Relies on private parts of aiokafka's Fetcher and FetchRequest; guards.py watches them. Everything
here runs in the consumer's thread, but for ``answered_ns``.
"""

# ruff: noqa: SLF001

import asyncio
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from services.streaming.merge import SETTLE_NS
from services.streaming.record_parsing import parse_as_source_records
from services.streaming.settings import EngineSettings


class Answer(NamedTuple):
    """A broker's latest answer about a topic-partition, between two moments of the monotonic clock.

    ``stable_end``: the last stable offset it told, None from brokers without transactions.
    """

    asked_ns: int
    answered_ns: int
    stable_end: int | None


class FetchAnswers:
    """Watches the fetch requests of one consumer."""

    def __init__(self, fetcher: Fetcher, settings: EngineSettings) -> None:
        """Watch ``fetcher``, which must not have sent a request yet."""
        self._settings = settings
        self._fetcher = fetcher
        self._handle = fetcher._proc_fetch_request
        fetcher._proc_fetch_request = self._watched
        self._latest: dict[TopicPartition, Answer] = {}
        self._asked_ns: dict[int, int] = {}
        self._records_ns = 0
        self._begun_ns = time.monotonic_ns()
        self._forgotten_ns: dict[TopicPartition, int] = {}
        self._at_hand_ns: dict[TopicPartition, int] = {}

    def forget(self, topic_partitions: Iterable[TopicPartition]) -> None:
        """Forget every answer about these: their positions are about to be others."""
        now = time.monotonic_ns()
        for tp in topic_partitions:
            self._forgotten_ns[tp] = now
            self._at_hand_ns.pop(tp, None)
            self._latest.pop(tp, None)
        self._asked_ns.clear()

    def latest(self, tp: TopicPartition) -> Answer | None:
        """Return the latest answer about ``tp``: the one that brought what is buffered of it."""
        return self._latest.get(tp)

    def answered_ns(self, topic_partitions: Iterable[TopicPartition]) -> int:
        """Return when the one of them was answered that has waited longest for an answer.

        What has records at hand here is not asked for before they are taken, and waits for nothing.
        To be called about once a second, which is how exactly it is known how long they were at
        hand; from one thread, whichever it is.
        """
        now = time.monotonic_ns()
        oldest = now
        for tp in topic_partitions:
            if tp in self._fetcher._records:
                self._at_hand_ns[tp] = now
                continue
            answer = self._latest.get(tp)
            silent_since = self._forgotten_ns.get(tp, self._begun_ns)
            answered = silent_since if answer is None else answer.answered_ns
            oldest = min(oldest, max(answered, self._at_hand_ns.get(tp, 0)))
        return oldest

    async def _watched(self, assignment: Any, node: int, request: Any) -> bool:
        """Send a fetch request as aiokafka does; remember what its answer was accepted for.

        Between the answer and the return of aiokafka's handling there is no await, so what is seen
        here is what the answer left behind. aiokafka sends a node one request at a time.
        """
        confirms = self._asked_ns.get(node, 0) < self._records_ns + SETTLE_NS
        try:
            await self._settle(request, node, confirms=confirms)
        except asyncio.CancelledError:
            return False  # as aiokafka's own handling does
        self._asked_ns[node] = asked_ns = time.monotonic_ns()
        brought: bool = await self._handle(assignment, node, request)
        if assignment.active:
            self._note(assignment, request, asked_ns, time.monotonic_ns())
        if brought:
            self._records_ns = time.monotonic_ns()
        elif confirms:
            self._wake()
        return brought

    async def _settle(self, request: Any, node: int, *, confirms: bool) -> None:
        """Choose how long the broker may wait; let the merge's settling time pass first."""
        if confirms:
            request._max_wait_ms = 0
            await asyncio.sleep((self._records_ns + SETTLE_NS - time.monotonic_ns()) / 1e9)
        elif self._asked_ns.keys() - {node}:
            # Another broker's records wait for the end of this long poll.
            request._max_wait_ms = self._settings.fetch_wait_many_ms

    def _note(self, assignment: Any, request: Any, asked_ns: int, answered_ns: int) -> None:
        buffered = self._fetcher._records
        for topic, partitions in request.topics:
            for number, _, _ in partitions:
                tp = TopicPartition(topic, number)
                state = assignment.state_value(tp)
                if state.timestamp is None:
                    continue  # not accepted: moved meanwhile, or an error
                state.timestamp = None
                self._latest[tp] = Answer(asked_ns, answered_ns, state.lso)
                parse_as_source_records(buffered.get(tp))

    def _wake(self) -> None:
        """Wake who waits for records: the answer without any is what frees those at hand."""
        for waiter in self._fetcher._fetch_waiters:
            self._fetcher._notify(waiter)
