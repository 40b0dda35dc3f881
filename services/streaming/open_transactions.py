"""Find what is on a log and neither committed nor aborted, and read the ends of it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

READ_COMMITTED, READ_UNCOMMITTED = "read_committed", "read_uncommitted"


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a topic-partition that are there, and neither committed nor aborted."""

    stable: int
    end: int


Spans = Mapping[str, Span]
"""What is open of one partition number, by topic."""


class Finder:
    """Finds open transactions, of whomever."""

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

    async def find(self, topics: Iterable[str], numbers: Iterable[int]) -> dict[int, Spans]:
        """Return what is open, by partition number and topic."""
        wanted = [TopicPartition(topic, number) for topic in topics for number in numbers]
        # In this order: what is appended in between must not look as if it were undecided.
        ends = await self._all.end_offsets(wanted)
        stables = await self._committed.end_offsets(wanted)
        found: dict[int, dict[str, Span]] = {}
        for tp in wanted:
            if stables[tp] < ends[tp]:
                span = Span(int(stables[tp]), int(ends[tp]))
                found.setdefault(tp.partition, {})[tp.topic] = span
        return dict(found)


@asynccontextmanager
async def reader(bootstrap: str, isolation_level: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer without a group, to be assigned and sought.

    Never a `Finder`'s: one that was assigned has to learn of every other topic anew.
    """
    consumer = _consumer(bootstrap, isolation_level)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def first_record(consumer: AIOKafkaConsumer, tp: TopicPartition, span: Span) -> Any | None:
    """Return the first record of a span, None if there is none any more."""
    async for record in _records(consumer, tp, span):
        return record
    return None


async def last_record(consumer: AIOKafkaConsumer, tp: TopicPartition, span: Span) -> Any | None:
    """Return the last record of a span, None if there is none any more."""
    last = None
    async for record in _records(consumer, tp, span):
        last = record
    return last


async def _records(
    consumer: AIOKafkaConsumer, tp: TopicPartition, span: Span
) -> AsyncIterator[Any]:
    consumer.assign([tp])
    consumer.seek(tp, span.stable)
    while await consumer.position(tp) < span.end:
        answer = await consumer.getmany(timeout_ms=200)
        for record in answer.get(tp, ()):
            if record.offset < span.end:
                yield record


def _consumer(bootstrap: str, isolation_level: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )
