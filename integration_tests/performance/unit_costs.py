"""What one event and one entity cost in bytes, memory and processor time, from a synthetic city.

    python -m integration_tests.performance.unit_costs [--entities 1000]

Writes docs/operating/unit-costs.json, from which `sizing` computes the tables of the sizing page.
A city's history is written as intakes write in bulk, then folded by one worker and projected; the
last records are written one by one, as in life. Broker and Redis are started for it unless
KAFKA_BOOTSTRAP_SERVERS and REDIS_URL are set (Redis must be nobody else's then). Processor times
are those of the processes; bytes do not depend on the machine's load.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from kafka import KafkaProducer

from integration_tests.performance.machine import commit, machine, versions
from integration_tests.system.city_log import (
    CONTROL,
    CityLog,
    Written,
    city_log,
    make_time_lapse_topics,
)
from integration_tests.system.monitoring import Monitor
from integration_tests.system.support import ALL_DAYS, publish_rules, read_topic
from services.cli.positions import applied, committed_reader, existing
from services.cli.topics_command import on_disk
from services.contracts import state_keys, topics
from services.contracts.families import SOURCE_TOPICS
from services.contracts.topics import TOPIC_PREFIX_VARIABLE, TOPICS
from services.local.environment import LocalEnvironment, local_environment
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.readmodel.positions import TOPICS_READ

COSTS_FILE = Path(__file__).parents[2] / "docs" / "operating" / "unit-costs.json"
LIVE_RECORDS = 300
LIVE_GAP_SECONDS = 0.05
SECONDS_MAX = 1_800.0
STATE_TOPICS = ("lifecycle.v1", "timeline.v1", "alerts.v1", "links.v1", "dead-letter.v1")


def write(bootstrap: str, records: Sequence[Written], *, gap_s: float = 0.0) -> None:
    """Write as an intake does, batches compressed; with a gap each record is alone."""
    with KafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type="lz4",
        linger_ms=2,
        batch_size=128 << 10,
    ) as producer:
        for record in records:
            sent = producer.send(
                topics.name(record.topic),
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
            )
            if gap_s:
                sent.get(60)
                time.sleep(gap_s)
        producer.flush(120)


def bytes_by_topic(bootstrap: str) -> dict[str, int]:
    """Bytes of every topic on the broker's disk, by short name."""
    names = [topics.name(topic.short_name) for topic in TOPICS]
    size, _ = on_disk(bootstrap, names)
    return {topics.short_name(name): count for name, count in size.items()}


def wait_all_applied(bootstrap: str) -> None:
    """Wait until the committed state contains everything on the sources."""

    def behind() -> int:
        with committed_reader(bootstrap) as consumer:
            sources = existing(consumer, SOURCE_TOPICS)
            ends = consumer.end_offsets(sources)
            positions = applied(consumer)
        return sum(
            max(0, ends[tp] - (positions[tp.partition].meta.next_offset(tp.topic) or 0))
            if tp.partition in positions
            else ends[tp] + 1
            for tp in sources
        )

    poll_until(
        lambda: behind() == 0,
        timeout_seconds=SECONDS_MAX,
        what="everything is applied",
        interval_seconds=1.0,
    )


def newest_bytes(bootstrap: str, short_name: str) -> tuple[int, Counter[str]]:
    """Return number and bytes by kind of the newest records of each key of a state topic."""
    newest: dict[tuple[int, bytes], int] = {}
    for record in read_topic(bootstrap, short_name):
        key = record.key or b""
        newest[record.partition, key] = len(key) + len(record.value)
    kinds: Counter[str] = Counter()
    for (_, key), size in newest.items():
        if short_name != "lifecycle.v1":
            kinds["entry"] += size
            continue
        parsed = state_keys.parse(key)
        kinds["of_partitions" if parsed is None else parsed.kind.name.lower()] += size
    return len(newest), kinds


@contextmanager
def lapsed(environment: LocalEnvironment, folder: Path, log: CityLog) -> Iterator[LocalSystem]:
    """A system on empty topics that take the writer's times, rules published."""
    prefix = f"costs-{os.urandom(3).hex()}."
    os.environ[TOPIC_PREFIX_VARIABLE] = prefix
    bootstrap = environment.kafka_bootstrap_servers
    make_time_lapse_topics(bootstrap)
    publish_rules(bootstrap, max_age_days=ALL_DAYS, timestamp_ms=log.begins_ms - 1)
    with owned_run_directory(folder / "run"):
        system = LocalSystem(folder / "run", bootstrap, environment.redis_url, prefix)
        try:
            yield system
        finally:
            system.stop()


def wait_projected(system: LocalSystem, bootstrap: str) -> None:
    """Wait until the projection has written everything that is committed."""
    with committed_reader(bootstrap) as consumer:
        ends = consumer.end_offsets(existing(consumer, list(TOPICS_READ)))
    monitor = Monitor(system, "projection")
    poll_until(
        lambda: monitor.total("projection_position") >= sum(ends.values()),
        timeout_seconds=SECONDS_MAX,
        what="everything is projected",
        interval_seconds=1.0,
    )


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def recovery(system: LocalSystem, worker: str) -> Mapping[str, Any]:
    """Start a worker with nothing of its own; return what its recovery came to."""
    system.start(worker)
    system.wait_worker(worker)
    (line,) = Monitor(system, worker).events("partitions_restored")
    return {"records": line["records"], "seconds": line["took_s"]}


def per(total: Mapping[str, int], count: int, names: Iterable[str]) -> dict[str, float]:
    """Divide the named totals by a count."""
    return {name: round(total.get(name, 0) / count, 1) for name in names}


def measure(entities: int) -> dict[str, Any]:
    """Measure; return the document."""
    log = city_log(entities)
    split = len(log.records) - LIVE_RECORDS
    history, live = log.records[:split], [r for r in log.records[split:] if r.topic != CONTROL]
    events = [record for record in history if record.topic != CONTROL]
    counted = Counter(record.topic for record in events)
    with tempfile.TemporaryDirectory() as name, local_environment(Path(name)) as environment:
        bootstrap = environment.kafka_bootstrap_servers
        with redis.Redis.from_url(environment.redis_url) as client:
            empty = client.info("memory")["used_memory"]
            with lapsed(environment, Path(name), log) as system:
                write(bootstrap, history)
                bulk_events = bytes_by_topic(bootstrap)
                system.start("lifecycle-0", "projection")
                system.wait_worker()
                wait_all_applied(bootstrap)
                wait_projected(system, bootstrap)
                bulk = bytes_by_topic(bootstrap)
                worker, projection = Monitor(system, "lifecycle-0"), Monitor(system, "projection")
                cpu = {
                    "stream_worker": worker.total("process_cpu_seconds_total"),
                    "projection": projection.total("process_cpu_seconds_total"),
                }
                memory = {
                    "stream_worker": worker.total("process_resident_memory_bytes"),
                    "projection": projection.total("process_resident_memory_bytes"),
                }
                units = worker.total("stream_units_total")
                in_redis = client.info("memory")["used_memory"] - empty
                write(bootstrap, live, gap_s=LIVE_GAP_SECONDS)
                wait_all_applied(bootstrap)
                alone = bytes_by_topic(bootstrap)
                state = {topic: newest_bytes(bootstrap, topic) for topic in STATE_TOPICS[:2]}
                system.supervisor.stop("lifecycle-0")
                on_local_disk = folder_bytes(system.run_directory / "data" / "lifecycle-0")
                recovered = recovery(system, "lifecycle-1")
    total_events = len(events)
    kinds = state["lifecycle.v1"][1]
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "load_average": round(os.getloadavg()[1], 1),
        "city": {"entities": entities, "events": total_events, "live_events": len(live)},
        "event_bytes_bulk": {
            topic: round(bulk_events[topic] / count, 1) for topic, count in sorted(counted.items())
        }
        | {"all": round(sum(bulk_events[topic] for topic in counted) / total_events, 1)},
        "event_bytes_alone": round(
            sum(alone.get(t, 0) - bulk.get(t, 0) for t in counted) / len(live), 1
        ),
        "output_bytes_bulk": per(bulk, total_events, STATE_TOPICS),
        "output_bytes_alone": {
            topic: round((alone.get(topic, 0) - bulk.get(topic, 0)) / len(live), 1)
            for topic in STATE_TOPICS
        },
        "state_bytes_per_entity": {
            kind: round(size / entities, 1)
            for kind, size in sorted(kinds.items())
            if kind != "of_partitions"
        },
        "state_bytes_of_partitions": kinds["of_partitions"],
        "state_records_per_entity": round(state["lifecycle.v1"][0] / entities, 2),
        "timeline_bytes_per_event": round(
            sum(state["timeline.v1"][1].values()) / (total_events + len(live)), 1
        ),
        "redis_bytes_per_entity": round(in_redis / entities, 1),
        "local_disk_bytes_per_entity": round(on_local_disk / entities, 1),
        "cpu_us_per_event": {
            name: round(seconds / total_events * 1e6, 1) for name, seconds in cpu.items()
        },
        "events_per_unit": round(total_events / units, 1),
        "resident_mebibytes": {name: round(size / 2**20) for name, size in memory.items()},
        "recovery": recovered,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=1_000)
    found = measure(parser.parse_args().entities)
    COSTS_FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))  # noqa: T201  for people


if __name__ == "__main__":
    main()
