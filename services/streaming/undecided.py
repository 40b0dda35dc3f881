"""Decide what a broker left undecided: a transaction that is over, and was never marked as such.

Seen on Kafka 4.3 when the only broker was killed between the end of a transaction and its markers:
it starts, its partitions have no leader for a moment, and the coordinator of the transaction takes
them for deleted. For the coordinator the unit is committed; in the log it is neither in nor out. It
holds back whoever reads committed data, until the next transaction of the same id ends in the same
partitions, and shares that one's outcome. A worker that recovered before that would not see the
unit, fold its records again, and with its commit publish both.

So it is decided before anything is read. In the changelog: committed where it holds the whole unit
(META is its last record, and is written when all others are being), else aborted. In the other
topics: committed where the changelog then contains the unit that wrote the first of what is open
(`unit_of_work.MARK_HEADER` tells), else aborted. What bears another's mark, or none in the control
topic, is left alone: another version of the state, or who publishes rules, is at work.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY, decode
from services.streaming.newest_meta import newest_metas
from services.streaming.open_transactions import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    Finder,
    Spans,
    first_record,
    last_record,
    reader,
)
from services.streaming.topics import Topics
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)

_MARKERS_S = 0.2
_ATTEMPTS = 50
_LOOK_S = 3.0
"""Longest look behind a partition's gate: who wants to give it up waits for that."""


class Held(Protocol):
    """A partition, as far as it matters here."""

    gate: asyncio.Lock
    producer: PartitionProducer

    @property
    def is_open(self) -> bool:
        """True while it may work."""
        ...


async def decide_leftovers(
    bootstrap: str, topics: Topics, producers: Mapping[int, PartitionProducer]
) -> None:
    """Decide what is open of these producers' ids; all are fenced, none is at work.

    Raises:
        EngineError: RECOVERY_FAILED where a transaction does not end so; FENCED, COMMIT_FAILED.
    """
    async with Finder(bootstrap) as finder:
        left: dict[tuple[int, str], int] = {}
        for number, spans in (await finder.find(topics.written, producers)).items():
            outcomes = await _outcomes(bootstrap, topics, producers[number], spans)
            await _decide(producers[number], spans, outcomes)
            left |= {(number, topic): spans[topic].stable for topic in outcomes}
        for _ in range(_ATTEMPTS):
            if not left:
                return
            await asyncio.sleep(_MARKERS_S)  # they are written after the answer
            numbers = {number for number, _ in left}
            still = _stables(await finder.find(topics.written, numbers))
            left = {place: at for place, at in left.items() if still.get(place) == at}
    raise EngineError(
        ExitCode.RECOVERY_FAILED,
        f"a transaction is open and does not end: {left}; see "
        "kafka-transactions.sh find-hanging (事务悬挂)",
    )


class Leftovers:
    """Finds what a broker left undecided of units that this worker has seen committed.

    A worker that outlives its broker goes on: its next unit's marker ends the former one in the
    topics that both wrote to, and an alert of the former is held back.
    """

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._seen: dict[tuple[int, str], int] = {}

    async def decide(self, partitions: Mapping[int, Held]) -> None:
        """Decide partitions in which something is open where it was open at the last look.

        Raises aiokafka's errors when the brokers do not answer; EngineError.
        """
        async with Finder(self._bootstrap) as finder:
            found = _stables(await finder.find(self._topics.written, partitions))
            seen, self._seen = self._seen, found
            old = {
                number for (number, topic), at in found.items() if seen.get((number, topic)) == at
            }
            await asyncio.gather(*(self._look(finder, n, partitions[n]) for n in sorted(old)))

    async def _look(self, finder: Finder, number: int, held: Held) -> None:
        # Behind the gate nothing of its own is open, but for markers that are being written.
        async with held.gate:
            if not held.is_open:
                return
            try:
                async with asyncio.timeout(_LOOK_S):
                    spans = (await finder.find(self._topics.written, [number])).get(number, {})
                    outcomes = await _outcomes(self._bootstrap, self._topics, held.producer, spans)
            except (KafkaError, TimeoutError):
                return  # it is looked at again
            await _decide(held.producer, spans, outcomes)


async def _outcomes(
    bootstrap: str, topics: Topics, producer: PartitionProducer, spans: Spans
) -> dict[str, bool]:
    """Return by topic whether what is open there is to be committed, as far as it is its own.

    Raises MetaError for a META that this release does not understand.
    """
    changelog = TopicPartition(topics.changelog, producer.partition)
    outcomes: dict[str, bool] = {}
    unit = None
    async with reader(bootstrap, READ_UNCOMMITTED) as every:
        if topics.changelog in spans:
            last = await last_record(every, changelog, spans[topics.changelog])
            whole = last is not None and last.key == META_KEY
            outcomes[topics.changelog] = whole
            unit = decode(last.value).unit if whole and last is not None else None
        if unit is None:
            unit = await _newest_unit(bootstrap, changelog)
        for topic in spans.keys() - {topics.changelog}:
            tp = TopicPartition(topic, producer.partition)
            first = await first_record(every, tp, spans[topic])
            wrote = None if first is None else producer.unit_of(first.headers)
            if wrote is not None:
                outcomes[topic] = wrote <= unit
            elif topics.changelog in outcomes and topic != topics.control:
                # Of a release that wrote no mark; if another's after all, the marker ends nothing.
                outcomes[topic] = outcomes[topics.changelog]
    return outcomes


async def _newest_unit(bootstrap: str, changelog: TopicPartition) -> int:
    async with reader(bootstrap, READ_COMMITTED) as committed:
        metas = await newest_metas(committed, changelog.topic, [changelog.partition])
    return metas[changelog.partition].unit if metas else 0


async def _decide(producer: PartitionProducer, spans: Spans, outcomes: Mapping[str, bool]) -> None:
    """Give every topic its outcome: what belongs together in one transaction."""
    for commit in (True, False):
        topics = [topic for topic, outcome in outcomes.items() if outcome is commit]
        if topics:
            log.warning(
                "transaction_decided",
                partition=producer.partition,
                committed=commit,
                offsets={topic: [spans[topic].stable, spans[topic].end] for topic in topics},
            )
            await producer.decide(topics, commit=commit)


def _stables(found: Mapping[int, Spans]) -> dict[tuple[int, str], int]:
    return {
        (number, topic): span.stable
        for number, spans in found.items()
        for topic, span in spans.items()
    }
