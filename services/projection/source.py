"""What the projection reads: the committed topics to project, and the ends of the source topics.

No consumer group: positions live in the read model, beside the data they speak of.
"""

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
)

from services.contracts import topics
from services.contracts.families import FAMILIES
from services.readmodel.positions import TOPICS_READ, Heads
from services.runtime.clock import now_ms
from services.streaming.interface import SourceRecord
from services.streaming.record_parsing import source_records_of

FETCH_WAIT_MS = 100
PARTITION_FETCH_BYTES = 512 * 1024
REQUEST_TIMEOUT_MS = 15_000

Place = tuple[int, str]
"""Partition and short topic name."""


class PositionLostError(Exception):
    """The log does not reach as far as the read model says it was read (位点超出日志)."""


class FetchingEndedError(Exception):
    """aiokafka fetches nothing any more, and does not say so (读取任务已终止)."""


def passes(error: KafkaError) -> bool:
    """Tell whether a failure of Kafka passes by itself: the broker is away or moving."""
    return bool(error.retriable) or isinstance(error, (KafkaTimeoutError, KafkaConnectionError))


class CommittedSource:
    """Reads committed records of the projected topics, from positions it is told."""

    def __init__(self, bootstrap_servers: str, partitions: Sequence[int]) -> None:
        self._partitions = tuple(partitions)
        self._consumer = _consumer(bootstrap_servers, "read_committed")
        # Ends are asked for without regard to transactions: one that is just being committed counts
        # as there, so a read model is not called complete without it.
        self._ends = _consumer(bootstrap_servers, "read_uncommitted")
        self._projected = {
            TopicPartition(topics.name(topic), p): (p, topic)
            for topic in TOPICS_READ
            for p in self._partitions
        }
        self._sources = [
            TopicPartition(topics.name(family.topic), p)
            for family in FAMILIES
            for p in self._partitions
        ]

    async def start(self) -> None:
        """Connect; nothing is read before positions are told with `seek`."""
        await self._consumer.start()
        # Private parts of aiokafka, which is pinned: a release with another one fails its tests.
        source_records_of(self._consumer._fetcher)  # noqa: SLF001
        self._fetching = self._consumer._fetcher._fetch_task  # noqa: SLF001
        self._consumer.assign(list(self._projected))
        await self._ends.start()
        # Assigned only so that the client knows the topics: paused, they are never fetched.
        everything = [*self._projected, *self._sources]
        self._ends.assign(everything)
        self._ends.pause(*everything)
        for consumer, places in (
            (self._consumer, list(self._projected)),
            (self._ends, everything),
        ):
            for place in places:
                consumer.seek(place, 0)

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()
        await self._ends.stop()

    def seek(self, place: Place, offset: int) -> None:
        """Read a place from an offset on; what was fetched and not handed out is dropped."""
        self._consumer.seek(_topic_partition(place), offset)

    async def position(self, place: Place) -> int:
        """Return the next offset: past all records handed out and the markers behind them."""
        return int(await self._consumer.position(_topic_partition(place)))

    async def poll(
        self, timeout_ms: int, records_max: int
    ) -> Mapping[Place, Sequence[SourceRecord]]:
        """Return committed records by place.

        Raises PositionLostError when the log lacks a position. Compaction removes none, so the log
        lost its end, or the topic was deleted and created again. FetchingEndedError when nothing
        would come any more.
        """
        if self._fetching.done():
            error = None if self._fetching.cancelled() else self._fetching.exception()
            raise FetchingEndedError(f"fetching has ended (读取任务已终止): {error!r}")
        try:
            polled = await self._consumer.getmany(
                *self._projected, timeout_ms=timeout_ms, max_records=records_max
            )
        except OffsetOutOfRangeError as error:
            raise PositionLostError(
                f"positions are not in the log (位点超出日志): {error}"
            ) from error
        return {self._projected[tp]: records for tp, records in polled.items()}

    async def projected_ends(self) -> dict[Place, int]:
        """Return the offset behind the last record of every place, committed or not yet."""
        ends = await self._ends.end_offsets(list(self._projected))
        return {self._projected[tp]: int(end) for tp, end in ends.items()}

    async def heads(self) -> dict[int, Heads]:
        """Return how far the source topics reach, per partition."""
        asked_ms = now_ms()
        ends = await self._ends.end_offsets(self._sources)
        return {
            p: Heads(
                asked_ms, {tp.topic: int(end) for tp, end in ends.items() if tp.partition == p}
            )
            for p in self._partitions
        }


def _consumer(bootstrap_servers: str, isolation_level: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        # Positions are always told; one that the log does not have is a matter for the caller.
        auto_offset_reset="none",
        isolation_level=isolation_level,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


def _topic_partition(place: Place) -> TopicPartition:
    return TopicPartition(topics.name(place[1]), place[0])
