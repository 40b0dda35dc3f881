"""msctl topics, lag and digest: what lies on the log, who is behind, what state it makes."""

from collections import defaultdict
from typing import Annotated, Any

import typer
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from services.cli.addresses import EndpointOption, address
from services.cli.failures import reported
from services.cli.output import Output, OutputOption, print_record, print_records
from services.cli.topic_reading import read_topic
from services.contracts import topics
from services.contracts.topics import PARTITIONS, TOPICS
from services.lifecycle.digest import digest_records

STATE_TOPIC = "lifecycle.v1"
REQUEST_TIMEOUT_MS = 15_000

TOPIC_COLUMNS = ("topic", "partitions", "records", "cleanup", "producers", "consumers", "about")
LAG_COLUMNS = ("group", "topic", "records_behind", "worst_partition", "worst_behind")


def show_topics(output: OutputOption = Output.TABLE, endpoint: EndpointOption = None) -> None:
    """Show every topic of the catalogue with what it holds (主题目录).

    `records` is the distance from the first to the last offset: of a compacted topic fewer are
    left, and transaction markers count.
    """
    with reported():
        ends, begins = _offsets(address("kafka", endpoint), [topic.short_name for topic in TOPICS])
    rows: list[dict[str, Any]] = []
    for topic in TOPICS:
        name = topics.name(topic.short_name)
        held = [each for each in ends if each.topic == name]
        rows.append(
            {
                "topic": topic.short_name,
                "partitions": len(held),
                "records": sum(ends[each] - begins[each] for each in held),
                "cleanup": topic.cleanup.value,
                "producers": ", ".join(topic.producers),
                "consumers": ", ".join(topic.consumers),
                "about": topic.description,
            }
        )
    print_records(rows, TOPIC_COLUMNS, output, title="topics (主题)")


def show_lag(output: OutputOption = Output.TABLE, endpoint: EndpointOption = None) -> None:
    """Show how far each consumer group is behind the end of each topic (消费延迟).

    The read model keeps its position in Redis instead: its lag stands in every profile's freshness.
    """
    bootstrap_servers = address("kafka", endpoint)
    with reported():
        committed = _committed(bootstrap_servers)
        names = {each.topic for offsets in committed.values() for each in offsets}
        ends, _ = _offsets(bootstrap_servers, [topics.short_name(name) for name in names])
    rows = []
    for group, offsets in sorted(committed.items()):
        behind: dict[str, dict[int, int]] = defaultdict(dict)
        for each, offset in offsets.items():
            behind[each.topic][each.partition] = max(0, ends[each] - offset)
        for topic, by_partition in sorted(behind.items()):
            worst = max(by_partition, key=lambda number: by_partition[number])
            rows.append(
                {
                    "group": group,
                    "topic": topics.short_name(topic),
                    "records_behind": sum(by_partition.values()),
                    "worst_partition": worst,
                    "worst_behind": by_partition[worst],
                }
            )
    print_records(rows, LAG_COLUMNS, output, title="lag (延迟)")


def show_digest(
    *,
    entities: Annotated[
        bool, typer.Option("--entities", help="Also the digest of every entity. 逐个主体")
    ] = False,
    output: OutputOption = Output.JSON,
    endpoint: EndpointOption = None,
) -> None:
    """Digest the committed live view: equal facts, equal digest, whatever happened (视图摘要).

    SHA-256 over the latest record of each key, without offsets and append times.
    """
    bootstrap_servers = address("kafka", endpoint)
    latest: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
    with reported():
        for record in read_topic(bootstrap_servers, STATE_TOPIC):
            if record.value is None:
                latest[record.partition].pop(record.key, None)
            else:
                latest[record.partition][record.key] = record.value
    whole = digest_records(item for held in latest for item in held.items())
    told: dict[str, Any] = {
        "topic": topics.name(STATE_TOPIC),
        "total": whole.total,
        "entities": len(whole.entities),
        "records": whole.records,
        "partitions": [digest_records(held.items()).total for held in latest],
    }
    if entities:
        told["digest_by_entity"] = dict(sorted(whole.entities.items()))
    print_record(told, output, title="digest (视图摘要)")


def _offsets(
    bootstrap_servers: str, short_names: list[str]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return end and beginning offsets of the partitions that exist."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    try:
        existing = consumer.topics()
        partitions = [
            TopicPartition(name, number)
            for name in (topics.name(short_name) for short_name in short_names)
            if name in existing
            for number in sorted(consumer.partitions_for_topic(name) or ())
        ]
        return consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
    finally:
        consumer.close()


def _committed(bootstrap_servers: str) -> dict[str, dict[TopicPartition, int]]:
    """Return the committed offsets by group, of this system's topics only."""
    ours = {topics.name(topic.short_name) for topic in TOPICS}
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        groups = [group["group_id"] for group in admin.list_groups()]
        found = admin.list_group_offsets(dict.fromkeys(groups)) if groups else {}
    return {
        group: {each: offset.offset for each, offset in offsets.items() if each.topic in ours}
        for group, offsets in found.items()
        if any(each.topic in ours for each in offsets)
    }
