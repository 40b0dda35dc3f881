"""The log in memory: append times, offsets with gaps, one transaction at a time, fencing."""

import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.lifecycle.tests.step_rig import TOPICS
from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import Headers, SourceHeaders, SourceRecord
from services.streaming.topics import Topics

PARTITIONS = 2
"""Partitions of a simulated world: enough for facts to move from one to another."""

CHANGELOG = "t.lifecycle"
ENGINE_TOPICS = Topics(
    sources=(TOPICS.control, *TOPICS.families),
    control=TOPICS.control,
    changelog=CHANGELOG,
    timeline=TOPICS.timeline,
    side=(TOPICS.alerts, TOPICS.dead_letter, TOPICS.links),
)

Output = Sequence[tuple[str, Sequence[tuple[bytes | None, bytes, Headers]]]]
"""What a transaction writes: topic and records (key, value, headers), in order."""


@dataclass(slots=True)
class Log:
    """One topic-partition: committed records by offset; control records and aborts leave gaps."""

    topic: str
    partition: int
    records: list[SourceRecord] = field(default_factory=list)
    end: int = 0

    def append(
        self, now_ms: int, key: bytes | None, value: bytes | None, headers: SourceHeaders = ()
    ) -> int:
        """Append a record at a time; return its offset."""
        record = SourceRecord(self.topic, self.partition, self.end, now_ms, key, value, headers)
        self.records.append(record)
        self.end += 1
        return record.offset

    def read(self, position: int, limit: int) -> tuple[list[SourceRecord], int]:
        """Return at most ``limit`` records from a position on, and the position after them."""
        first = bisect_left(self.records, position, key=lambda record: record.offset)
        found = self.records[first : first + limit]
        if first + limit >= len(self.records):
            return found, max(position, self.end)
        return found, found[-1].offset + 1 if found else position


class Broker:
    """All logs of a world, its clock, and who holds each partition."""

    def __init__(self, dice: random.Random, now_ms: int) -> None:
        self.now_ns = now_ms * 1_000_000
        self.owner_epochs = [0] * PARTITIONS
        self._dice = dice
        self._logs: dict[tuple[str, int], Log] = {}

    @property
    def now_ms(self) -> int:
        """The clock, as records are stamped."""
        return self.now_ns // 1_000_000

    def wait(self, milliseconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(milliseconds * 1_000_000)

    def log(self, topic: str, partition: int) -> Log:
        """The log of a topic-partition."""
        return self._logs.setdefault((topic, partition), Log(topic, partition))

    def sources(self, partition: int) -> Mapping[str, Log]:
        """The logs that the lifecycle reads, in rank order."""
        return {topic: self.log(topic, partition) for topic in ENGINE_TOPICS.sources}

    def fence(self, partition: int) -> int:
        """Take a partition; whoever held it before cannot commit any more."""
        self.owner_epochs[partition] += 1
        return self.owner_epochs[partition]

    def commit(self, partition: int, epoch: int, output: Output) -> dict[str, int]:
        """Write a transaction whole; return the offset of the last record of each topic.

        Raises:
            EngineError: FENCED when another owner took the partition since.
        """
        if epoch != self.owner_epochs[partition]:
            raise EngineError(ExitCode.FENCED, f"partition {partition} belongs to another worker")
        last: dict[str, int] = {}
        for topic, records in output:
            log = self.log(topic, partition)
            for key, value, headers in records:
                last[topic] = log.append(self.now_ms, key, value, headers)
            log.end += 1  # the transaction's own marker
        return last

    def abort(self, partition: int, output: Output) -> None:
        """Leave what an aborted transaction leaves: offsets that no reader sees."""
        for topic, records in output:
            self.log(topic, partition).end += self._dice.randint(1, len(records) + 1)
