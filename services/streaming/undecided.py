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
(`unit_of_work.MARK_HEADER` tells), else aborted. What bears another mark or none is left alone:
another version of the state, or who publishes rules, is at work.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY, decode
from services.streaming.newest_meta import newest_metas
from services.streaming.topics import Topics
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)

READ_COMMITTED, READ_UNCOMMITTED = "read_committed", "read_uncommitted"
_MARKERS_S = 0.2
_ATTEMPTS = 50
_LOOK_S = 2.0
"""Longest look behind a partition's gate: who wants to give it up waits for that."""


class Held(Protocol):
    """A partition, as far as it matters here."""

    gate: asyncio.Lock
    producer: PartitionProducer

    @property
    def is_open(self) -> bool:
        """True while it may work."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a topic-partition that are there, and neither committed nor aborted."""

    stable: int
    end: int


Spans = Mapping[str, Span]
"""What is open of one partition number, by topic."""


class UndecidedReader:
    """Finds open transactions. Who holds the producers must know that none of them is its own."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._topics = topics
        self._committed = _consumer(bootstrap, READ_COMMITTED)
        self._all = _consumer(bootstrap, READ_UNCOMMITTED)

    async def __aenter__(self) -> Self:
        try:
            await self._committed.start()
            await self._all.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._committed.stop()
        await self._all.stop()

    async def find(self, numbers: Iterable[int]) -> dict[int, dict[str, Span]]:
        """Return what is open, by partition number and topic."""
        wanted = [TopicPartition(topic, n) for topic in self._topics.written for n in numbers]
        # In this order: what is appended in between must not look as if it were undecided.
        ends = await self._all.end_offsets(wanted)
        stables = await self._committed.end_offsets(wanted)
        found: dict[int, dict[str, Span]] = {}
        for tp in wanted:
            if stables[tp] < ends[tp]:
                span = Span(int(stables[tp]), int(ends[tp]))
                found.setdefault(tp.partition, {})[tp.topic] = span
        return found

    async def outcomes(self, producer: PartitionProducer, spans: Spans) -> dict[str, bool]:
        """Return by topic whether what is open there is to be committed, as far as it is its own.

        Raises MetaError for a META that this release does not understand.
        """
        changelog, number = self._topics.changelog, producer.partition
        whole, unit = False, 0
        if changelog in spans:
            _, last = await self._ends(changelog, number, spans[changelog])
            whole = last.key == META_KEY
            unit = decode(last.value).unit if whole else 0
        if not whole:
            metas = await newest_metas(self._committed, changelog, [number])
            unit = metas[number].unit if number in metas else 0
        outcomes = {changelog: whole} if changelog in spans else {}
        for topic in spans.keys() - {changelog}:
            first, _ = await self._ends(topic, number, spans[topic])
            wrote = producer.unit_of(first.headers)
            if wrote is not None:
                outcomes[topic] = wrote <= unit
            elif changelog in spans:
                # By a release that wrote no mark, or not its own: then the marker ends nothing.
                outcomes[topic] = whole
        return outcomes

    async def _ends(self, topic: str, number: int, span: Span) -> tuple[Any, Any]:
        """Return the first and the last of the open records; at ``stable`` there is one."""
        tp = TopicPartition(topic, number)
        self._all.assign([tp])
        self._all.seek(tp, span.stable)
        first = last = None
        while await self._all.position(tp) < span.end:
            answer = await self._all.getmany(timeout_ms=200)
            for record in answer.get(tp, ()):
                if record.offset < span.end:
                    first, last = first or record, record
        return first, last


async def decide_leftovers(
    bootstrap: str, topics: Topics, producers: Mapping[int, PartitionProducer]
) -> None:
    """Decide what is open of these producers' ids; all are fenced, none is at work.

    Raises:
        EngineError: RECOVERY_FAILED where the changelog holds an open transaction that does not
            end so; FENCED, COMMIT_FAILED.
    """
    async with UndecidedReader(bootstrap, topics) as reader:
        found = await reader.find(producers)
        left: dict[tuple[int, str], int] = {}
        for number, spans in found.items():
            outcomes = await reader.outcomes(producers[number], spans)
            await _decide(producers[number], spans, outcomes)
            left |= {(number, topic): spans[topic].stable for topic in outcomes}
        for _ in range(_ATTEMPTS):
            if not left:
                return
            await asyncio.sleep(_MARKERS_S)  # they are written after the answer
            still = _stables(await reader.find({number for number, _ in left}))
            left = {place: at for place, at in left.items() if still.get(place) == at}
    stuck = {place: at for place, at in left.items() if place[1] == topics.changelog}
    if stuck:
        raise EngineError(
            ExitCode.RECOVERY_FAILED,
            f"a transaction of somebody else is open and does not end: {stuck}; see "
            "kafka-transactions.sh find-hanging (他人事务悬挂)",
        )
    log.warning("transaction_left_open", offsets={f"{t}-{n}": at for (n, t), at in left.items()})


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
        """Decide what is open at the offset where it was open at the last look.

        Raises aiokafka's errors and TimeoutError when the brokers do not answer; EngineError.
        """
        async with UndecidedReader(self._bootstrap, self._topics) as reader:
            seen, self._seen = self._seen, _stables(await reader.find(partitions))
            for number in {
                n for (n, topic), at in self._seen.items() if seen.get((n, topic)) == at
            }:
                held = partitions[number]
                # Behind the gate nothing of its own is open.
                async with held.gate:
                    if not held.is_open:
                        continue
                    async with asyncio.timeout(_LOOK_S):
                        spans = (await reader.find([number])).get(number, {})
                        old = {t: s for t, s in spans.items() if seen.get((number, t)) == s.stable}
                        outcomes = await reader.outcomes(held.producer, old)
                    await _decide(held.producer, old, outcomes)


def _stables(found: Mapping[int, Spans]) -> dict[tuple[int, str], int]:
    return {
        (number, topic): span.stable
        for number, spans in found.items()
        for topic, span in spans.items()
    }


async def _decide(producer: PartitionProducer, spans: Spans, outcomes: Mapping[str, bool]) -> None:
    """Give every topic its outcome: what belongs together in one transaction."""
    for commit in (True, False):
        topics = [topic for topic, outcome in outcomes.items() if outcome is commit]
        if topics:
            offsets = {topic: [spans[topic].stable, spans[topic].end] for topic in topics}
            log.warning(
                "transaction_decided",
                partition=producer.partition,
                committed=commit,
                offsets=offsets,
            )
            await producer.decide(topics, commit=commit)


def _consumer(bootstrap: str, isolation_level: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )
