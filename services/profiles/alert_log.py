"""The alerts topic as a log of records: committed ones only, from any positions on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from market_supervision.alerts.v1.alert_pb2 import AlertRecord

from services.contracts import topics
from services.contracts.topics import PARTITIONS
from services.profiles.cursor import Positions

ALERTS = "alerts.v1"
FETCH_WAIT_MS = 100
POLL_TIMEOUT_MS = 200
RECORDS_MAX = 128
"""Records of one poll, and so of one message to a subscriber."""


class AlertItem(NamedTuple):
    """One alert record with its place."""

    partition: int
    offset: int
    append_ms: int
    record: AlertRecord


@dataclass(frozen=True, slots=True)
class AlertBatch:
    """Some records, in order within each partition, and the positions after them."""

    items: tuple[AlertItem, ...]
    positions: Positions


class AlertReader(Protocol):
    """Reads on from where it is."""

    async def poll(self) -> AlertBatch:
        """Return the next records; none when nothing came for a moment. Positions never go back."""
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class AlertLog(Protocol):
    """Where readers come from."""

    async def open(self, positions: Positions) -> AlertReader:
        """Return a connected reader that begins at the positions."""
        ...


class KafkaAlertReader:
    """Reads the alerts topic without a group; each reader has its own connection."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._partitions = [TopicPartition(topics.name(ALERTS), p) for p in range(PARTITIONS)]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=256 * 1024,
        )

    async def start(self, positions: Positions | None) -> None:
        """Connect and begin at the positions; None: behind the last committed record."""
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        for partition, offset in zip(self._partitions, positions or (0,) * PARTITIONS, strict=True):
            self._consumer.seek(partition, offset)
        if positions is None:
            _, ends = await self.bounds()
            for partition, offset in zip(self._partitions, ends, strict=True):
                self._consumer.seek(partition, offset)

    async def bounds(self) -> tuple[Positions, Positions]:
        """Return the first offset of every partition, and the one behind its last committed."""
        first, ends = await asyncio.gather(
            self._consumer.beginning_offsets(self._partitions),
            self._consumer.end_offsets(self._partitions),
        )
        return self._in_order(first.__getitem__), self._in_order(ends.__getitem__)

    async def positions(self) -> Positions:
        """Return the next offset of every partition."""
        return tuple([int(await self._consumer.position(p)) for p in self._partitions])

    async def poll(self) -> AlertBatch:
        """Return the next records."""
        polled = await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS, max_records=RECORDS_MAX)
        items = [
            AlertItem(r.partition, r.offset, r.timestamp, AlertRecord.FromString(r.value))
            for records in polled.values()
            for r in records
        ]
        return AlertBatch(tuple(items), await self.positions())

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    def _in_order(self, offset_of: Callable[[TopicPartition], int]) -> Positions:
        return tuple(int(offset_of(partition)) for partition in self._partitions)


class KafkaAlertLog:
    """Opens readers of the alerts topic."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    async def open(self, positions: Positions | None) -> KafkaAlertReader:
        """Return a reader that begins at the positions, or behind the last committed record."""
        reader = KafkaAlertReader(self._bootstrap_servers)
        try:
            await reader.start(positions)
        except BaseException:
            await reader.stop()
            raise
        return reader


def caught_up(own: Sequence[int], other: Sequence[int]) -> bool:
    """Tell whether positions have reached others in every partition."""
    return all(mine >= theirs for mine, theirs in zip(own, other, strict=True))
