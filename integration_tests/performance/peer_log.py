"""The peers' log on a broker: written once, drained by every engine."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import UnknownTopicOrPartitionError
from kafka.partitioner.default import murmur2

from integration_tests.performance.peer_fold import KeyedEvent, Load
from integration_tests.performance.peer_reference import reference
from integration_tests.performance.shown import Shown
from services.local.waiting import poll_until

PARTITIONS = 12
BATCH_BYTES = 256 << 10
GONE_SECONDS_MAX = 60.0
SEGMENT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PeerLog:
    """A log and the digest of the states it comes to."""

    bootstrap: str
    topic: str
    control: str
    records: int
    digest: str
    distinct: int = 0
    """Events that are no repeats."""


def write_log(bootstrap: str, load: Load) -> PeerLog:
    """Make the topics of a log and write it, compressed with lz4."""
    name = f"peers-{uuid.uuid4().hex[:8]}"
    log_topic, control = f"{name}.events", f"{name}.control"
    make_topics(bootstrap, [log_topic, control])
    written = Shown("events written", load.events)
    count = asyncio.run(_write(bootstrap, log_topic, load.records(), written))
    read = reference(bootstrap, log_topic, PARTITIONS, Shown("events judged", count).at)
    assert read.records == count, f"{count} events were written, {read.records} are there"
    return PeerLog(bootstrap, log_topic, control, count, read.digest, read.distinct)


def make_topics(bootstrap: str, topics: Sequence[str], *, compacted: bool = False) -> None:
    """Create topics whose timestamps are the broker's append times."""
    configs = {"message.timestamp.type": "LogAppendTime"}
    if compacted:
        # Small segments, so that what is overwritten leaves the disk while a long log is drained.
        configs |= {"cleanup.policy": "compact", "segment.bytes": str(SEGMENT_BYTES)}
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.create_topics(
            {
                topic: {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": configs}
                for topic in topics
            }
        )
        admin.wait_for_topics(list(topics))


def delete_topics(bootstrap: str, topics: Sequence[str]) -> None:
    """Delete those of the topics that are there, and wait until the broker names none of them.

    One that is still named would not be made anew by whoever creates what is missing.
    """
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:

        def left() -> set[str]:
            return set(topics) & set(admin.list_topics())

        def gone() -> bool:
            if found := left():
                # Some may go between the list and the request, or a repeated request find none.
                with suppress(UnknownTopicOrPartitionError):
                    admin.delete_topics(sorted(found))
            return not left()

        poll_until(gone, timeout_seconds=GONE_SECONDS_MAX, what="topics are deleted")


async def _write(bootstrap: str, topic: str, records: Iterable[KeyedEvent], shown: Shown) -> int:
    """Write the records, each to the partition of its key, in their order; return their number."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type="lz4",
        max_batch_size=BATCH_BYTES,
        max_request_size=2 * BATCH_BYTES,
    )
    await producer.start()
    count = 0
    try:
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        for key, value in records:
            count += 1
            partition = (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
            if batches[partition].append(timestamp=None, key=key, value=value) is None:
                await (await producer.send_batch(batches[partition], topic, partition=partition))
                shown.at(count)
                batches[partition] = producer.create_batch()
                batches[partition].append(timestamp=None, key=key, value=value)
        for partition, batch in enumerate(batches):
            if batch.record_count():
                await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
    return count
