"""Reading a topic from its beginning to its present end, committed records only (读取主题)."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from services.contracts import topics

POLL_MS: Final = 1_000
RECORDS_A_POLL: Final = 2_000


class TopicRecord(NamedTuple):
    """One committed record."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    headers: dict[str, bytes]
    """Headers by name; of several of one name the last."""


def read_topic(bootstrap_servers: str, short_name: str) -> Iterator[TopicRecord]:
    """Yield every committed record, each partition in order; ends at what was the end at the start.

    Raises kafka's errors when the cluster cannot be reached.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    try:
        name = topics.name(short_name)
        partitions = [TopicPartition(name, number) for number in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning()
        # The position moves past transaction markers too, which are no records.
        while any(consumer.position(each) < ends[each] for each in partitions):
            batch = consumer.poll(timeout_ms=POLL_MS, max_records=RECORDS_A_POLL)
            for partition, records in batch.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield TopicRecord(
                            record.partition,
                            record.offset,
                            record.timestamp,
                            record.key or b"",
                            record.value,
                            dict(record.headers),
                        )
    finally:
        consumer.close()


def read_record(
    bootstrap_servers: str, short_name: str, partition: int, offset: int
) -> TopicRecord | None:
    """Return the committed record at a place; None when there is none."""
    for record in read_topic(bootstrap_servers, short_name):
        if (record.partition, record.offset) == (partition, offset):
            return record
    return None
