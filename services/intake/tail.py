"""Reads a topic from a known position to its end and on, for one process (日志跟读).

Each instance reads every partition itself, without a consumer group: what it reads feeds something
of its own (the intake index, the links), never shared work.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from services.contracts.topics import PARTITIONS

POLL_WAIT_MS: Final = 500
FETCH_WAIT_MS: Final = 500
"""Longest long poll at the broker; a new record ends it at once."""
RETRY_BACKOFF_MS: Final = 300
"""Pause between attempts while the broker is away (each is a line in the log)."""
POLL_RECORDS_MAX: Final = 1_000
"""Records taken in at a time: about 15 ms of work between turns of the event loop."""
PARTITION_FETCH_BYTES: Final = 1 << 20


class TopicTruncatedError(Exception):
    """The beginning of an event topic is gone (主题开头缺失): receipts could no longer be kept."""


class Reading(Enum):
    """How a topic is read."""

    FROM_ZERO = auto()
    """Every record from offset 0: an event topic, written without transactions, kept for ever."""
    COMMITTED = auto()
    """What transactions committed, from wherever the topic begins now: a compacted topic."""


class Position(NamedTuple):
    """How far a partition was read: next offset, append time (ms) of the last record, 0 if none."""

    next_offset: int
    append_time_ms: int


class Reader(Protocol):
    """What is fed by a tail."""

    def position(self, partition: int) -> int:
        """Return the offset from which to read a partition."""
        ...

    def restart(self) -> None:
        """Forget everything: the log is shorter than what was read of it."""
        ...

    def take(self, records: Sequence[ConsumerRecord], positions: Mapping[int, Position]) -> None:
        """Take in records, in offset order within each partition, and where reading stands now."""
        ...


_ISOLATION: Final = {
    Reading.FROM_ZERO: "read_uncommitted",
    Reading.COMMITTED: "read_committed",
}


class TopicTail:
    """Feeds one reader with all partitions of one topic. Make it with ``open``."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, reader: Reader) -> None:
        self._consumer = consumer
        self._topic = topic
        self._reader = reader
        self._partitions: list[TopicPartition] = []
        self._positions: dict[int, Position] = {}
        self._goal: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._order = itertools.count()
        self.caught_up = asyncio.Event()
        """Set for good once everything that was on the topic at the start has been taken in."""

    @classmethod
    async def open(
        cls, bootstrap_servers: str, topic: str, reader: Reader, reading: Reading
    ) -> "TopicTail":
        """Connect and place the reader on the log.

        Raises:
            TopicTruncatedError: a topic read from zero does not begin there.
            aiokafka.errors.KafkaError: no broker answered.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            # A position that the log does not have is an error, never a silent jump.
            auto_offset_reset="none",
            isolation_level=_ISOLATION[reading],
            fetch_max_wait_ms=FETCH_WAIT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        )
        await consumer.start()
        tail = cls(consumer, topic, reader)
        try:
            await tail._place(reading)
        except BaseException:
            await consumer.stop()
            raise
        return tail

    async def _place(self, reading: Reading) -> None:
        self._partitions = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        self._consumer.assign(self._partitions)
        beginnings = await self._consumer.beginning_offsets(self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        if reading is Reading.FROM_ZERO and any(beginnings.values()):
            raise TopicTruncatedError(
                f"{self._topic} does not begin at offset 0 in every partition "
                "(主题开头已缺失，不能保证回执不变)"
            )
        if any(self._reader.position(each.partition) > ends[each] for each in self._partitions):
            self._reader.restart()
        for each in self._partitions:
            offset = max(self._reader.position(each.partition), beginnings[each])
            self._consumer.seek(each, offset)
            self._positions[each.partition] = Position(offset, 0)
            self._goal[each.partition] = ends[each]
        self._check_caught_up()

    @property
    def positions(self) -> Mapping[int, Position]:
        """How far each partition was read."""
        return self._positions

    async def run(self) -> None:
        """Read on and on, until cancelled; any error of reading or of the reader is raised."""
        while True:
            fetched = await self._consumer.getmany(
                timeout_ms=POLL_WAIT_MS, max_records=POLL_RECORDS_MAX
            )
            await self._take(fetched)
            await asyncio.sleep(0)

    async def _take(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        moved: dict[int, Position] = {}
        for each in self._partitions:
            # Not the last record's offset + 1: transaction markers take offsets too.
            next_offset = await self._consumer.position(each)
            known = self._positions[each.partition]
            if next_offset != known.next_offset:
                records = fetched.get(each)
                append_time_ms = records[-1].timestamp if records else known.append_time_ms
                moved[each.partition] = Position(next_offset, append_time_ms)
        if not moved:
            return
        self._reader.take([one for some in fetched.values() for one in some], moved)
        self._positions.update(moved)
        for partition, position in moved.items():
            self._release(partition, position.next_offset)
        if not self.caught_up.is_set():
            self._check_caught_up()

    def _check_caught_up(self) -> None:
        if all(self._positions[number].next_offset >= goal for number, goal in self._goal.items()):
            self.caught_up.set()

    def _release(self, partition: int, next_offset: int) -> None:
        waiting = self._waiting.get(partition)
        while waiting and waiting[0][0] < next_offset:
            _, _, passed = heapq.heappop(waiting)
            if not passed.done():
                passed.set_result(None)

    async def passed(self, partition: int, offset: int) -> None:
        """Return once the record at ``offset`` has been taken in by the reader."""
        if self._positions[partition].next_offset > offset:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heap = self._waiting.setdefault(partition, [])
        heapq.heappush(heap, (offset, next(self._order), future))
        await future

    async def close(self) -> None:
        """Stop reading and disconnect; who still waits in ``passed`` is cancelled."""
        await self._consumer.stop()
        for heap in self._waiting.values():
            for _, _, future in heap:
                future.cancel()
        self._waiting.clear()


class ReplayReader:
    """A reader that keeps nothing between runs: the topic is read from its beginning each time."""

    def __init__(
        self, apply: Callable[[Iterable[tuple[bytes | None, bytes | None]]], None]
    ) -> None:
        """``apply`` is given (key, value) of the records, in order within each partition."""
        self._apply = apply

    def position(self, partition: int) -> int:  # noqa: ARG002 - part of the Reader protocol
        """See Reader.position."""
        return 0

    def restart(self) -> None:
        """See Reader.restart; position 0 is never beyond the end."""

    def take(
        self,
        records: Sequence[ConsumerRecord],
        positions: Mapping[int, Position],  # noqa: ARG002 - part of the Reader protocol
    ) -> None:
        """See Reader.take."""
        self._apply((record.key, record.value) for record in records)
