"""What the peers' log comes to, by the judge: read from the broker, summed up by other means.

Neither the engine nor its fold is imported, only the layout of events and states. Whatever the
writer of the log believed it wrote, the bytes that stand on the topic are what counts. Events are
kept by partition, so that ten million of them need the memory of a twelfth.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from integration_tests.performance.peer_fold import EVENT, STATE, KeyedEvent, digest

POLL_MS = 500
POLL_RECORDS = 20_000

Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """The outcome that every engine must come to."""

    digest: str
    records: int
    distinct: int
    """Events that are no repeats."""
    states: int


def expected_states(records: Iterable[KeyedEvent]) -> dict[bytes, bytes]:
    """Return the final states by another way than the fold: sets and plain sums."""
    events: dict[bytes, dict[bytes, tuple[int, int]]] = {}
    for key, value in records:
        event_id, time_ms, amount = EVENT.unpack_from(value)
        events.setdefault(key, {}).setdefault(event_id, (time_ms, amount))
    return {
        key: STATE.pack(
            len(seen), max(ms for ms, _ in seen.values()), sum(a for _, a in seen.values())
        )
        + b"".join(seen)
        for key, seen in events.items()
    }


def reference(
    bootstrap: str, topic: str, partitions: int, told: Told = lambda _: None
) -> Reference:
    """Read a log whole and return what it comes to; ``told`` how many records were read."""
    return asyncio.run(_reference(bootstrap, topic, partitions, told))


async def _reference(bootstrap: str, topic: str, partitions: int, told: Told) -> Reference:
    states: dict[bytes, bytes] = {}
    records = distinct = 0
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        for number in range(partitions):
            read: list[KeyedEvent] = [
                (record.key, record.value[: EVENT.size])
                async for record in _partition(consumer, TopicPartition(topic, number))
            ]
            found = expected_states(read)
            assert not found.keys() & states.keys(), "an entity stands in two partitions"
            states |= found
            records += len(read)
            distinct += sum(STATE.unpack_from(state)[0] for state in found.values())
            told(records)
    finally:
        await consumer.stop()
    return Reference(digest(states), records, distinct, len(states))


async def _partition(consumer: AIOKafkaConsumer, at: TopicPartition) -> AsyncIterator[Any]:
    consumer.assign([at])
    end = (await consumer.end_offsets([at]))[at]
    while await consumer.position(at) < end:
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for records in polled.values():
            for record in records:
                yield record
