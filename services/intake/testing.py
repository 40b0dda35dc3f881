"""An event log in memory, for tests of what stands on a publisher, and what any publisher owes.

``check_publisher`` is run against this log and against the real one: the imitation is trusted only
because it passes what the real one passes.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence

from services.contracts.families import Family
from services.contracts.topics import PARTITIONS
from services.intake.decoding import tail_record
from services.intake.placement import Entry, SourceKey
from services.intake.publisher import Acknowledged, OutgoingRecord, PublishResult


class StoredRecord:
    """A record of the log in memory, with the fields a consumer would see."""

    def __init__(self, partition: int, offset: int, record: OutgoingRecord) -> None:
        self.partition = partition
        self.offset = offset
        self.timestamp = 0
        self.key = record.key
        self.value = record.value
        self.headers = record.headers


class MemoryLog:
    """A log with publisher, tail and index in one; each can be told to fail.

    ``answers`` are given instead of appending, first to last, one a record; ``gate`` holds back
    publishing until it is set.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self.records: list[StoredRecord] = []
        self.answers: list[PublishResult] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._ends = [0] * PARTITIONS
        self._entries: dict[SourceKey, Entry] = {}

    def append(self, record: OutgoingRecord) -> Acknowledged:
        """Append a record as the broker would, and index it."""
        partition = zlib.crc32(record.key) % PARTITIONS
        stored = StoredRecord(partition, self._ends[partition], record)
        self._ends[partition] += 1
        self.records.append(stored)
        seen = tail_record(self._family, stored)
        if seen is not None and not seen.is_moved:
            self._entries.setdefault(seen.key, seen.entry)
        return Acknowledged(partition, stored.offset)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishResult]:
        """See Publisher.publish."""
        await self.gate.wait()
        return [self.answers.pop(0) if self.answers else self.append(each) for each in records]

    async def passed(self, partition: int, offset: int) -> None:
        """See engine.LogReader.passed."""
        assert offset < self._ends[partition]

    def find(self, keys: Sequence[SourceKey]) -> list[Entry | None]:
        """See engine.Index.find."""
        return [self._entries.get(key) for key in keys]


ReadBack = Callable[[int, int], Awaitable[tuple[bytes, bytes]]]
"""Returns (key, value) of the record at a partition and offset."""


async def check_publisher(
    publish: Callable[[Sequence[OutgoingRecord]], Awaitable[list[PublishResult]]],
    read_back: ReadBack,
) -> None:
    """Check what every publisher owes; raises AssertionError naming the broken obligation."""
    records = [
        OutgoingRecord(b"uscc:%d" % (number % 7), b"value %d" % number, (("n", b"1"),))
        for number in range(200)
    ]
    results = await publish(records)
    assert len(results) == len(records), "one result a record"
    partition_of: dict[bytes, int] = {}
    for record, result in zip(records, results, strict=True):
        assert isinstance(result, Acknowledged), f"a healthy log acknowledges: {result}"
        assert await read_back(*result) == (record.key, record.value), "results are in order"
        same = partition_of.setdefault(record.key, result.partition)
        assert same == result.partition, "equal keys go to one partition"
    assert len(set(results)) == len(results), "each record has a place of its own"
    assert await publish([]) == [], "nothing gives nothing"
