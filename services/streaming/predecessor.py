"""Read, follow and close the version of the state before this one (see `succession`)."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY, Meta, decode, encode
from services.streaming.settings import EngineSettings
from services.streaming.succession import Predecessor, check_open, check_published, passed_by
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)

_TAIL_OFFSETS = 64
_TAIL_FACTOR = 16
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


def committed_consumer(bootstrap: str) -> AIOKafkaConsumer:
    """Return a reader of committed records without a group, not started."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )


async def newest_metas(
    consumer: AIOKafkaConsumer, topic: str, numbers: Sequence[int]
) -> dict[int, Meta]:
    """Return the newest committed META of each partition that has one.

    Read from the end backwards, a little more each time. ``consumer`` reads committed records and
    is assigned anew.
    """
    wanted = {TopicPartition(topic, number) for number in numbers}
    found: dict[int, Meta] = {}
    ends = await consumer.end_offsets(list(wanted)) if wanted else {}
    begins = await consumer.beginning_offsets(list(wanted)) if wanted else {}
    span = _TAIL_OFFSETS
    while wanted:
        starts = {tp: max(begins[tp], ends[tp] - span) for tp in wanted}
        found |= await _read_metas(consumer, starts, ends)
        wanted = {tp for tp in wanted if tp.partition not in found and starts[tp] > begins[tp]}
        span *= _TAIL_FACTOR
    return found


async def _read_metas(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[int, Meta]:
    newest: dict[int, Meta] = {}
    unread = {tp for tp, start in starts.items() if start < ends[tp]}
    if not unread:
        return newest
    consumer.assign(sorted(unread))
    for tp in unread:
        consumer.seek(tp, starts[tp])
    while unread:
        answer = await consumer.getmany(timeout_ms=100)
        for tp, records in answer.items():
            for record in records:
                if record.key == META_KEY and record.offset < ends[tp]:
                    newest[tp.partition] = decode(record.value)
        for tp in list(unread):
            if await consumer.position(tp) >= ends[tp]:
                unread.discard(tp)
                consumer.pause(tp)
    return newest


async def close_predecessor(
    consumer: AIOKafkaConsumer,
    predecessor: Predecessor,
    numbers: Sequence[int],
    bootstrap: str,
    settings: EngineSettings,
) -> dict[int, Meta]:
    """Fence the predecessor's owners of the partitions, and close its changelog behind them.

    Returns where it stood for ever, by partition. Safe to repeat: a successor that is killed on the
    way, or another one that gets the partition, finds it closed at the same place. From now on no
    worker of the predecessor can go on, whoever starts it. One that starts again between the fence
    and the closing fences the closing: then the partition is fenced and read once more.

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
            await _close(consumer, predecessor, unclosed, bootstrap, settings)
        except EngineError as error:
            fenced += 1
            if error.code is not ExitCode.FENCED or fenced == _ATTEMPTS_MAX:
                raise
            log.warning("predecessor_came_back", partitions=unclosed, problem=str(error))


async def _close(
    consumer: AIOKafkaConsumer,
    predecessor: Predecessor,
    numbers: Sequence[int],
    bootstrap: str,
    settings: EngineSettings,
) -> None:
    """Close partitions; who was fenced meanwhile raises, when the others are done."""
    producers = [PartitionProducer(predecessor.app_id, n, bootstrap, settings) for n in numbers]
    try:
        await _all(producer.fence() for producer in producers)
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
