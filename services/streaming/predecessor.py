"""Read, follow and close the version of the state before this one (see `succession`)."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace

from aiokafka import AIOKafkaConsumer

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY, Meta, encode
from services.streaming.newest_meta import committed_consumer, newest_metas
from services.streaming.settings import EngineSettings
from services.streaming.succession import Predecessor, check_open, check_published, passed_by
from services.streaming.topics import Topics
from services.streaming.undecided import decide_leftovers
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)

_ATTEMPTS_MAX = 6
"""To close a predecessor whose workers a supervisor starts again and again, each fencing anew."""


class Follower:
    """Tells a shadow again and again how far the predecessor has come."""

    def __init__(self, predecessor: Predecessor, bootstrap: str) -> None:
        self._changelog = predecessor.changelog
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None

    async def look(self, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return the next offsets that the predecessor has not applied, by partition and topic.

        Raises:
            EngineError: STATE_VERSION where it is closed.
        """
        if self._consumer is None:
            consumer = committed_consumer(self._bootstrap)
            await consumer.start()
            self._consumer = consumer
        metas = await newest_metas(self._consumer, self._changelog, numbers)
        check_open(metas)
        return {number: passed_by(metas.get(number)) for number in numbers}

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await self._consumer.stop()


async def close_predecessor(
    consumer: AIOKafkaConsumer,
    predecessor: Predecessor,
    topics: Topics,
    numbers: Sequence[int],
    bootstrap: str,
    settings: EngineSettings,
) -> dict[int, Meta]:
    """Fence the predecessor's owners of the partitions, and close its changelog behind them.

    ``topics``: this version's, of which it shares all but the changelog. Returns where it stood for
    ever, by partition. Safe to repeat: a successor that is killed on the way, or another one that
    gets the partition, finds it closed at the same place. From now on no worker of the predecessor
    can go on, whoever starts it. One that starts again between the fence and the closing fences the
    closing: then the partition is fenced and read once more.

    Raises:
        EngineError: STATE_VERSION while the predecessor has not published all it has applied, see
            `check_published`; nothing is fenced then. FENCED when its workers come back again and
            again. COMMIT_FAILED: the outcome is open, the next start finds it out.
    """
    fenced = 0
    while True:
        metas = await newest_metas(consumer, predecessor.changelog, numbers)
        check_published(metas)
        unclosed = [n for n in numbers if n not in metas or not metas[n].closed]
        if not unclosed:
            return {number: metas[number] for number in numbers}
        try:
            await _close(consumer, predecessor, topics, unclosed, bootstrap, settings)
        except EngineError as error:
            fenced += 1
            if error.code is not ExitCode.FENCED or fenced == _ATTEMPTS_MAX:
                raise
            log.warning("predecessor_came_back", partitions=unclosed, problem=str(error))


async def _close(
    consumer: AIOKafkaConsumer,
    predecessor: Predecessor,
    topics: Topics,
    numbers: Sequence[int],
    bootstrap: str,
    settings: EngineSettings,
) -> None:
    """Close partitions; who was fenced meanwhile raises, when the others are done."""
    producers = [PartitionProducer(predecessor.app_id, n, bootstrap, settings) for n in numbers]
    try:
        await _all(producer.fence() for producer in producers)
        # Nobody will write under its id again: what is open would hold back readers for ever.
        written = replace(topics, changelog=predecessor.changelog)
        await decide_leftovers(bootstrap, written, {each.partition: each for each in producers})
        metas = await newest_metas(consumer, predecessor.changelog, numbers)
        check_published(metas)
        closings = []
        for producer in producers:
            meta = metas.get(producer.partition, Meta())
            last = encode(replace(meta, unit=meta.unit + 1, closed=True))
            closings.append(producer.commit([(predecessor.changelog, [(META_KEY, last, ())])]))
        await _all(closings)
    finally:
        await asyncio.gather(*(producer.stop() for producer in producers), return_exceptions=True)


async def _all(tasks: Iterable[Awaitable[object]]) -> None:
    """Wait for all of them, then raise what the first one raised that did."""
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
