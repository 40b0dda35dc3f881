"""Timeline entries read from the log by offset: those too old for Redis to keep."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.contracts import topics
from services.contracts.topics import PARTITIONS
from services.readmodel.positions import TIMELINE
from services.runtime.errors import NotReadyError

READERS = 4
"""Connections that read entries at the same time, over all calls."""
FETCH_BYTES = 64 * 1024
FETCH_WAIT_MS = 500
READ_TIMEOUT_MS = 3_000
NEIGHBOURS = 32
"""Records taken from one fetch: facts of one entity often stand close together."""


class Wanted(NamedTuple):
    """A record that must stand at a place of the timeline topic."""

    partition: int
    offset: int
    key_prefix: bytes


class TimelineLog:
    """Fetches single records.

    Pointers come from committed records only, so nothing has to be filtered here.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._partitions = [TopicPartition(topics.name(TIMELINE), p) for p in range(PARTITIONS)]
        self._consumers = [
            AIOKafkaConsumer(
                bootstrap_servers=bootstrap_servers,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=FETCH_WAIT_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            for _ in range(READERS)
        ]
        self._idle: asyncio.Queue[AIOKafkaConsumer] = asyncio.Queue()

    async def start(self) -> None:
        """Connect. All partitions stay paused: one is let go only for a fetch."""
        for consumer in self._consumers:
            await consumer.start()
            consumer.assign(self._partitions)
            consumer.pause(*self._partitions)
            for partition in self._partitions:
                consumer.seek(partition, 0)
            self._idle.put_nowait(consumer)

    async def stop(self) -> None:
        """Disconnect."""
        for consumer in self._consumers:
            await consumer.stop()

    async def fetch(self, wanted: Sequence[Wanted]) -> dict[tuple[int, int], bytes]:
        """Return the values found, by partition and offset.

        One is missing when no record with the wanted key stands there any more: the fact has a
        newer version, and the older one was compacted away. Raises NotReadyError when the log does
        not answer.
        """
        ordered = sorted(wanted)
        size = max(1, -(-len(ordered) // READERS))
        parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        found: dict[tuple[int, int], bytes] = {}
        for values in await asyncio.gather(*(self._fetch_part(part) for part in parts)):
            found.update(values)
        return found

    async def _fetch_part(self, wanted: Iterable[Wanted]) -> Mapping[tuple[int, int], bytes]:
        found: dict[tuple[int, int], bytes] = {}
        passed: set[tuple[int, int]] = set()
        prefixes = {(want.partition, want.offset): want.key_prefix for want in wanted}
        consumer = await self._idle.get()
        try:
            for place in prefixes:
                if place in passed:
                    continue
                for offset, key, value in await self._read(consumer, *place):
                    here = (place[0], offset)
                    passed.add(here)
                    if here in prefixes and key.startswith(prefixes[here]):
                        found[here] = value
        except KafkaError as error:
            raise NotReadyError(
                f"the timeline log does not answer: {type(error).__name__}", "时间线日志暂不可用"
            ) from error
        finally:
            self._idle.put_nowait(consumer)
        return found

    async def _read(
        self, consumer: AIOKafkaConsumer, partition: int, offset: int
    ) -> list[tuple[int, bytes, bytes]]:
        topic_partition = self._partitions[partition]
        consumer.seek(topic_partition, offset)
        consumer.resume(topic_partition)
        try:
            polled = await consumer.getmany(
                topic_partition, timeout_ms=READ_TIMEOUT_MS, max_records=NEIGHBOURS
            )
        finally:
            consumer.pause(topic_partition)
        records = polled.get(topic_partition, [])
        return [(r.offset, r.key or b"", r.value or b"") for r in records]
