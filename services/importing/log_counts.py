"""Counting what the log holds, independently of what an import believes (日志计数)."""

from collections import Counter
from typing import Final

from kafka import KafkaConsumer, TopicPartition

from services.contracts import topics
from services.contracts.families import FAMILIES

_POLL_MS: Final = 2_000


def count_log(bootstrap_servers: str) -> dict[str, "LogCount"]:
    """Read every event topic from its beginning to its present end; counts by family."""
    return {family.name: _count(bootstrap_servers, family.name) for family in FAMILIES}


class LogCount:
    """What one event topic holds."""

    def __init__(self) -> None:
        self.records = 0
        self.source_versions = 0
        """Different (source_system, source_record_id, source_version): effects there can be."""
        self.records_by_source_system: Counter[str] = Counter()
        self.event_ids: dict[str, set[str]] = {}
        """Ids of the source versions, by source system."""


def _count(bootstrap_servers: str, family_name: str) -> LogCount:
    family = next(family for family in FAMILIES if family.name == family_name)
    topic = topics.name(family.topic)
    count = LogCount()
    seen: set[tuple[str, str, int]] = set()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(one) < ends[one] for one in partitions):
            for records in consumer.poll(timeout_ms=_POLL_MS, max_records=5_000).values():
                for record in records:
                    envelope = family.parse(record.value).envelope
                    count.records += 1
                    count.records_by_source_system[envelope.source_system] += 1
                    ids = count.event_ids.setdefault(envelope.source_system, set())
                    ids.add(envelope.event_id)
                    seen.add(
                        (
                            envelope.source_system,
                            envelope.source_record_id,
                            envelope.source_version,
                        )
                    )
    finally:
        consumer.close()
    count.source_versions = len(seen)
    return count
