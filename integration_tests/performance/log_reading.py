"""Read a changelog to its end as a committed reader sees it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from integration_tests.performance.peer_fold import digest
from integration_tests.performance.peer_log import PARTITIONS

POLL_MS = 200


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
    return asyncio.run(_read_states(bootstrap, changelog, entity_key))


async def _read_states(
    bootstrap: str, changelog: str, entity_key: Callable[[bytes], bytes | None]
) -> Outcome:
    states: dict[bytes, bytes] = {}
    last_append_ms = 0
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
        partitions = [TopicPartition(changelog, number) for number in range(PARTITIONS)]
        ends = await outsider.end_offsets(partitions)
        consumer.assign(partitions)
        while [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=20_000)
            for record in (record for records in polled.values() for record in records):
                key = entity_key(record.key)
                if key is not None:
                    states[key] = record.value
                    last_append_ms = max(last_append_ms, record.timestamp)
    finally:
        await outsider.stop()
        await consumer.stop()
    return Outcome(digest(states), len(states), last_append_ms)
