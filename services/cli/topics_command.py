"""msctl topics: the catalogue of topics beside what the cluster has."""

from collections import defaultdict
from typing import Annotated, Any

import typer
from kafka.admin import KafkaAdminClient

from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import JsonOption, Output, OutputOption, fail, note, print_records
from services.cli.positions import REQUEST_TIMEOUT_MS, committed_reader, existing
from services.contracts import topics
from services.contracts.topics import TOPICS
from services.runtime.durability import BROKERS_DEFAULT, Durability
from services.runtime.kafka_topics import (
    TopicMismatchError,
    differences,
    ensure_topics,
    on_one_broker,
)

COLUMNS = ("topic", "partitions", "replicas", "offsets", "bytes", "cleanup", "differs", "about")


def show_topics(
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Create what is missing first. 先创建缺失的主题")
    ] = False,
    replication_factor: Annotated[
        int | None,
        typer.Option(help="Brokers that must hold every topic, at least. 副本数下限"),
    ] = None,
    min_insync_replicas: Annotated[
        int | None,
        typer.Option(
            help="Replicas that must have a record before it is acknowledged. 最少同步副本数"
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
    endpoint: EndpointOption = None,
) -> None:
    """Show every topic of the catalogue with what the cluster has of it (主题目录核对).

    `offsets` is the distance from the first to the last offset: of a compacted topic fewer records
    are left, and transaction markers count. `bytes` is what all replicas take on the brokers'
    disks. `differs` names what is not as the catalogue says. Nothing is changed without --create;
    partition counts, replicas and settings of topics that exist are never changed.

    With --replication-factor, topics are created with so many replicas, and one that has fewer
    differs; with --min-insync-replicas the same holds for the topics' `min.insync.replicas`.
    Without them it is the broker's default, and a warning if topics stand on one broker of many.

    Exit codes: 0 all as it should be, 7 something is missing or differs, 3 no broker, 2 options
    that cannot be used, or fewer brokers than replicas: then nothing was created.
    """
    durability = _durability(replication_factor, min_insync_replicas)
    bootstrap_servers = address("kafka", endpoint)
    with reported():
        if create:
            _create(bootstrap_servers, durability)
        wrong = differences(bootstrap_servers, durability=durability)
        rows = _rows(bootstrap_servers, wrong)
        alone = on_one_broker(bootstrap_servers) if durability == BROKERS_DEFAULT else []
    print_records(rows, COLUMNS, Output.JSON if as_json else output, title="topics (主题)")
    if alone:
        note(
            f"warning: {len(alone)} of {len(TOPICS)} topics stand on one broker and are lost with "
            "its disk, though the cluster has others; see --replication-factor "
            f"(警告：有主题仅有一个副本，磁盘损坏即丢失): {', '.join(alone)}"
        )
    if wrong:
        message = (
            f"{len(wrong)} of {len(TOPICS)} topics are missing or differ from the catalogue "
            "(有主题缺失或与目录不符)"
        )
        fail(message, ExitCode.DIFFERS)


def _durability(replicas: int | None, in_sync_min: int | None) -> Durability:
    try:
        return Durability(replicas, in_sync_min)
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)


def _create(bootstrap_servers: str, durability: Durability) -> None:
    try:
        created = ensure_topics(bootstrap_servers, durability=durability)
    except TopicMismatchError:
        created = []  # told in the table
    note(f"created (已创建): {', '.join(created) or '-'}")


def _rows(bootstrap_servers: str, wrong: dict[str, list[str]]) -> list[dict[str, Any]]:
    held: dict[str, int] = defaultdict(int)
    partitions: dict[str, int] = defaultdict(int)
    with committed_reader(bootstrap_servers) as consumer:
        there = existing(consumer, [topic.short_name for topic in TOPICS])
        ends, begins = consumer.end_offsets(there), consumer.beginning_offsets(there)
    for tp in there:
        partitions[tp.topic] += 1
        held[tp.topic] += ends[tp] - begins[tp]
    size, replicas = on_disk(bootstrap_servers, list(partitions))
    rows: list[dict[str, Any]] = []
    for topic in TOPICS:
        name = topics.name(topic.short_name)
        rows.append(
            {
                "topic": topic.short_name,
                "partitions": partitions[name],
                "replicas": replicas[name],
                "offsets": held[name],
                "bytes": size[name],
                "cleanup": topic.cleanup.value,
                "differs": "; ".join(wrong.get(name, ())),
                "about": topic.description,
                "producers": topic.producers,
                "consumers": topic.consumers,
            }
        )
    return rows


def on_disk(bootstrap_servers: str, names: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Return by topic the bytes of all replicas and how many replicas a partition has, at most."""
    size: dict[str, int] = defaultdict(int)
    copies: dict[tuple[str, int], int] = defaultdict(int)
    replicas: dict[str, int] = defaultdict(int)
    if not names:
        return size, replicas
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        brokers = admin.describe_log_dirs(names)
    for broker in brokers:
        for directory in broker["log_dirs"]:
            for topic in directory["topics"]:
                for partition in topic["partitions"]:
                    size[topic["name"]] += partition["partition_size"]
                    copies[topic["name"], partition["partition_index"]] += 1
    for (name, _), count in copies.items():
        replicas[name] = max(replicas[name], count)
    return size, replicas
