"""Decide what a broker left undecided: a transaction that is over, and was never marked as such.

Seen on Kafka 4.3 when the only broker was killed between the end of a transaction and its markers:
it starts, its partitions have no leader for a moment, and the coordinator of the transaction takes
them for deleted. For the coordinator the unit is committed; in the log it is neither in nor out. It
holds back whoever reads committed data, until the next transaction of the same id ends in the same
partitions, and shares that one's outcome. A worker that recovered before that would not see the
unit, fold its records again, and with its commit publish both.

So it is decided before anything is read, the same way in all topics: committed where the changelog
holds the whole unit (META is its last record, and is written when all others are being), or holds
it already and only others are left; else aborted. A local store may contain the unit only in the
first case.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY
from services.streaming.topics import Topics
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)

READ_COMMITTED, READ_UNCOMMITTED = "read_committed", "read_uncommitted"
_MARKERS_S = 0.2
_ATTEMPTS = 50


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


class UndecidedReader:
    """Finds open transactions. Who holds the producers must know that none of them is its own."""

    def __init__(self, bootstrap: str) -> None:
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

    async def find(
        self, topics: Iterable[str], numbers: Iterable[int]
    ) -> dict[int, dict[str, Span]]:
        """Return what is undecided, by partition number and topic."""
        wanted = [TopicPartition(topic, number) for topic in topics for number in numbers]
        # In this order: what is appended in between must not look as if it were undecided.
        ends = await self._all.end_offsets(wanted)
        stables = await self._committed.end_offsets(wanted)
        found: dict[int, dict[str, Span]] = {}
        for tp in wanted:
            if stables[tp] < ends[tp]:
                span = Span(int(stables[tp]), int(ends[tp]))
                found.setdefault(tp.partition, {})[tp.topic] = span
        return found

    async def is_whole_unit(self, changelog: str, number: int, spans: Mapping[str, Span]) -> bool:
        """Tell whether what is undecided of a partition has its META, or needs none any more."""
        span = spans.get(changelog)
        if span is None:
            return True
        tp = TopicPartition(changelog, number)
        self._all.assign([tp])
        self._all.seek(tp, span.stable)
        last: bytes | None = None
        while await self._all.position(tp) < span.end:
            answer = await self._all.getmany(timeout_ms=200)
            for record in answer.get(tp, ()):
                if record.offset < span.end:
                    last = record.key
        return last == META_KEY


async def decide_leftovers(
    bootstrap: str,
    topics: Topics,
    looked_at: Iterable[str],
    producers: Mapping[int, PartitionProducer],
) -> None:
    """Decide what is open in the topics ``looked_at``; all producers are fenced, none is at work.

    Raises:
        EngineError: RECOVERY_FAILED where an open transaction is not of such a producer's id.
    """
    async with UndecidedReader(bootstrap) as reader:
        found = await reader.find(looked_at, producers)
        for number, spans in found.items():
            commit = await reader.is_whole_unit(topics.changelog, number, spans)
            await _decide(producers[number], topics, spans, commit=commit)
        left = _stables(found)
        for _ in range(_ATTEMPTS):
            if not left:
                return
            await asyncio.sleep(_MARKERS_S)  # they are written after the answer
            # What moves is another version of the state at work.
            still = _stables(await reader.find(looked_at, producers))
            left = {place: at for place, at in left.items() if still.get(place) == at}
    raise EngineError(
        ExitCode.RECOVERY_FAILED,
        f"a transaction of somebody else is open and does not end: {left}; see "
        "kafka-transactions.sh find-hanging (他人事务悬挂)",
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
        """Commit what is open at the offset where it was open at the last look."""
        async with UndecidedReader(self._bootstrap) as reader:
            found = await reader.find(self._topics.written, partitions)
            seen, self._seen = self._seen, _stables(found)
            for number in {
                n for (n, topic), at in self._seen.items() if seen.get((n, topic)) == at
            }:
                held = partitions[number]
                # Behind the gate nothing of its own is open.
                async with held.gate:
                    spans = (await reader.find(self._topics.written, [number])).get(number, {})
                    if held.is_open and _stables({number: spans}).items() & seen.items():
                        await _decide(held.producer, self._topics, spans, commit=True)


def _stables(found: Mapping[int, Mapping[str, Span]]) -> dict[tuple[int, str], int]:
    return {
        (number, topic): span.stable
        for number, spans in found.items()
        for topic, span in spans.items()
    }


async def _decide(
    producer: PartitionProducer, topics: Topics, spans: Mapping[str, Span], *, commit: bool
) -> None:
    """Decide the same for every topic that a unit may write to, whatever is open there."""
    log.warning(
        "transaction_decided",
        partition=producer.partition,
        committed=commit,
        offsets={topic: [span.stable, span.end] for topic, span in spans.items()},
    )
    await producer.decide(topics.written, commit=commit)


def _consumer(bootstrap: str, isolation_level: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )
