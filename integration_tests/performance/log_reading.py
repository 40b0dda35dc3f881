"""Read a changelog to its end as a committed reader sees it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from integration_tests.performance.peer_fold import digest
from integration_tests.performance.peer_log import PARTITIONS
from services.streaming import meta

POLL_MS = 200
POLL_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a changelog comes to."""

    digest: str
    states: int
    last_append_ms: int


def read_states(
    bootstrap: str, changelog: str, entity_key: Callable[[bytes], bytes | None]
) -> Outcome:
    """Read the newest state of each entity, and when the last of all was appended."""

    async def read() -> Outcome:
        states: dict[bytes, bytes] = {}
        last_append_ms = 0
        async for record in committed(bootstrap, changelog):
            key = entity_key(record.key)
            if key is not None:
                states[key] = record.value
                last_append_ms = max(last_append_ms, record.timestamp)
        return Outcome(digest(states), len(states), last_append_ms)

    return asyncio.run(read())


def read_progress(bootstrap: str, changelog: str, control: str) -> list[tuple[int, int]]:
    """Return (append time in ms, events applied so far) for each unit of the engine."""

    async def read() -> list[Any]:
        return [r async for r in committed(bootstrap, changelog) if r.key == meta.META_KEY]

    return progress(asyncio.run(read()), control)


def progress(units: Iterable[Any], control: str) -> list[tuple[int, int]]:
    """Return (append time in ms, events applied so far) for META records, in order of time.

    Positions count offsets; on event topics, written without transactions, they are records. The
    control topic holds no events.
    """
    applied: dict[int, int] = {}
    moments: list[tuple[int, int]] = []
    for unit in sorted(units, key=lambda record: record.timestamp):
        positions = meta.decode(unit.value).applied
        applied[unit.partition] = sum(
            at.next_offset for topic, at in positions.items() if topic != control
        )
        moments.append((unit.timestamp, sum(applied.values())))
    return moments


async def committed(bootstrap: str, topic: str) -> AsyncIterator[Any]:
    """Yield a topic's committed records up to where it ends now, in order per partition."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=POLL_MS,
    )
    # A reader of committed records is told an end before markers that are still on their way.
    outsider = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await outsider.start()
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = await outsider.end_offsets(partitions)
        consumer.assign(partitions)
        while [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            for records in polled.values():
                for record in records:
                    yield record
    finally:
        await outsider.stop()
        await consumer.stop()
