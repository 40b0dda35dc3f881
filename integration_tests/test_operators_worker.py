"""An operator sees what a stream worker is doing: on real processes, real Kafka."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from integration_tests.system.monitoring import NOT_THERE, Monitor
from integration_tests.system.support import publish_rules
from services.contracts import topics
from services.contracts.topics import PARTITIONS, TOPIC_PREFIX_VARIABLE, TOPICS
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics
from services.streaming.exits import ExitCode

SECONDS_MAX = 120.0
FILLER_RECORDS = 25_000
"""State records a partition that mean nothing: their reading takes a second or more in all."""
ALL = list(range(PARTITIONS))


@pytest.fixture
def system(kafka_bootstrap: str, redis_url: str, run_directory: Path) -> Iterator[LocalSystem]:
    """A system of which nothing is started, on topics that are not made yet."""
    prefix = f"operators-{os.urandom(4).hex()}."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        with owned_run_directory(run_directory / "run"):
            made = LocalSystem(run_directory / "run", kafka_bootstrap, redis_url, prefix)
            try:
                yield made
            finally:
                made.stop()


def waiting_for(condition: Callable[[], bool], what: str) -> None:
    """Wait as long as a busy machine may need."""
    poll_until(condition, timeout_seconds=SECONDS_MAX, what=what, interval_seconds=0.02)


async def fill(bootstrap: str, records: int) -> None:
    """Write state records that are about nothing into every partition of the changelog."""
    topic = topics.name("lifecycle.v1")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", request_timeout_ms=60_000)
    await producer.start()
    try:
        await producer.partitions_for(topic)
        for partition in ALL:
            left = records
            while left:
                batch = producer.create_batch()
                while left and batch.append(
                    key=b"!filler|%d" % left, value=b"x" * 40, timestamp=None
                ):
                    left -= 1
                await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


async def fence(bootstrap: str, transactional_id: str) -> None:
    """Take a partition away as another worker does."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
    await producer.start()
    await producer.stop()


def test_worker_is_ready_only_when_it_has_recovered_and_gone_when_it_is_fenced(
    kafka_bootstrap: str, system: LocalSystem
) -> None:
    """Alive without topics, not ready while recovering, ready after, gone when fenced."""
    system.start("lifecycle-0")
    monitor = Monitor(system, "lifecycle-0")
    waiting_for(lambda: monitor.health("/healthz").status == 200, "the worker is alive")
    assert monitor.health().status == 503
    assert monitor.health().details["state"] == "starting"

    # The worker waits for all topics, so it begins to recover only when the changelog is full.
    state = [topic for topic in TOPICS if topic.short_name == "lifecycle.v1"]
    ensure_topics(kafka_bootstrap, catalogue=state)
    asyncio.run(fill(kafka_bootstrap, FILLER_RECORDS))
    ensure_topics(kafka_bootstrap)
    seen: list[tuple[int, str]] = []

    def ready() -> bool:
        status, details = monitor.health()
        seen.append((status, str(details.get("state", ""))))
        return status == 200

    waiting_for(ready, "the worker is ready")
    assert (503, "recovering") in seen
    assert {state for status, state in seen if status == 200} == {"working"}
    assert monitor.health().details["open"] == ALL
    assert monitor.total("stream_recovery_records") == FILLER_RECORDS * PARTITIONS
    done = monitor.total("stream_recovery_offsets_done")
    assert done == monitor.total("stream_recovery_offsets") > 0
    assert monitor.value("stream_fences_total") == PARTITIONS

    publish_rules(kafka_bootstrap)
    waiting_for(lambda: monitor.total("stream_units_total") >= PARTITIONS, "all have rules")
    with KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        complaints = topics.name("complaints.v1")
        producer.send(complaints, key=b"k", value=b"no event", partition=3).get(30)
        waiting_for(
            lambda: monitor.value("lifecycle_dead_letters_total", partition="3") == 1.0,
            "the dead letter is counted",
        )
        assert monitor.value("stream_lag_offsets", partition="3", topic=complaints) == 0
        # Fenced by somebody else, it must not be taken for ready once it has noticed.
        app_id = f"{system.prefix.strip('.')}-lifecycle"
        asyncio.run(fence(kafka_bootstrap, f"{app_id}-3"))
        producer.send(complaints, key=b"k", value=b"no event", partition=3).get(30)
    waiting_for(lambda: not system.process("lifecycle-0").running(), "the fenced worker ends")
    assert system.process("lifecycle-0").exit_code() == ExitCode.FENCED
    assert monitor.health().status == NOT_THERE

    (last,) = monitor.events("worker_exit")
    assert (last["code"], last["name"], last["level"]) == (72, "FENCED", "critical")
    order = [line["event"] for line in monitor.log if line["event"].startswith("partitions_")]
    assert order[:4] == [
        "partitions_assigned", "partitions_fenced", "partitions_restored", "partitions_open",
    ]  # fmt: skip


def test_two_workers_tell_who_owns_what(kafka_bootstrap: str, system: LocalSystem) -> None:
    """When a second one joins, the first loses half and says so; no line is not JSON."""
    ensure_topics(kafka_bootstrap)
    publish_rules(kafka_bootstrap)
    system.start("lifecycle-0")
    first = Monitor(system, "lifecycle-0")
    waiting_for(lambda: first.health().status == 200, "the first is ready")
    assert first.health().details["open"] == ALL

    system.start("lifecycle-1")
    second = Monitor(system, "lifecycle-1")

    def shared() -> bool:
        one, other = first.health(), second.health()
        if {one.status, other.status} != {200}:
            return False
        return sorted([*one.details["open"], *other.details["open"]]) == ALL and bool(
            other.details["open"]
        )

    waiting_for(shared, "they share the partitions")
    assert first.events("partitions_revoked")[0]["partitions"] == ALL
    owned = [str(number) for number in first.health().details["open"]]
    labels = {dict(had).get("partition") for name, had in first.metrics() if "_lag_" in name}
    assert labels <= {*owned, None}

    system.process("lifecycle-1").kill()
    waiting_for(lambda: first.health().details.get("open") == ALL, "the first owns all again")
    waiting_for(lambda: first.health().status == 200, "the first is ready again")
    assert all(line["service"] == "lifecycle" for line in first.log)
