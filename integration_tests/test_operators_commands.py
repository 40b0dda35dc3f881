"""msctl topics, lag and digest tell the truth about a real system, also by exit code."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from integration_tests.system.support import (
    ALL_DAYS,
    publish_rules,
    submit,
    view_digest,
    wait_applied,
    wait_folded,
)
from services.contracts import topics
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES, SOURCE_TOPICS
from services.contracts.topics import PARTITIONS, TOPIC_PREFIX_VARIABLE, TOPICS
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until

NOT_USABLE_AS_ASKED = 2
NOT_AS_IT_SHOULD_BE = 7
SOURCES = 5


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


def msctl(bootstrap: str, *arguments: str) -> tuple[int, Any, str]:
    """Run msctl as a process; return exit code, its JSON and what it said."""
    command = [sys.executable, "-m", "services.cli.main", *arguments]
    command += ["--output", "json", "--endpoint", f"kafka={bootstrap}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, json.loads(ended.stdout or "null"), ended.stderr


async def abort(bootstrap: str, topic: str, partition: int) -> None:
    """Leave a transaction that was taken back at the end of a partition."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=f"abort-{os.urandom(4).hex()}"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back", partition=partition)
        await producer.abort_transaction()
    finally:
        await producer.stop()


def test_topics_are_compared_with_the_catalogue_and_created_only_when_asked(
    kafka_bootstrap: str,
    system: LocalSystem,  # noqa: ARG001  it isolates the names
) -> None:
    """Missing, complete, and one that somebody changed."""
    for _ in range(2):
        code, rows, said = msctl(kafka_bootstrap, "topics")
        assert code == NOT_AS_IT_SHOULD_BE
        assert f"{len(TOPICS)} of {len(TOPICS)} topics" in said
        assert {row["partitions"] for row in rows} == {0}
    code, rows, _ = msctl(kafka_bootstrap, "topics", "--create")
    assert code == 0
    assert {(row["partitions"], row["replicas"], row["differs"]) for row in rows} == {
        (PARTITIONS, 1, "")
    }
    with KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        producer.send(topics.name("complaints.v1"), b"x" * 500, partition=1).get(30)
    resource = ConfigResource(
        ConfigResourceType.TOPIC, topics.name("alerts.v1"), {"retention.ms": "1000"}
    )
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.alter_configs([resource])
    code, rows, _ = msctl(kafka_bootstrap, "topics")
    assert code == NOT_AS_IT_SHOULD_BE
    by_name = {row["topic"]: row for row in rows}
    assert by_name["alerts.v1"]["differs"] == "retention.ms is 1000, not -1"
    assert [row["topic"] for row in rows if row["differs"]] == ["alerts.v1"]
    assert by_name["complaints.v1"]["offsets"] == 1
    assert by_name["complaints.v1"]["bytes"] > 500


def test_topics_less_durable_than_asked_for_are_named(
    kafka_bootstrap: str,
    system: LocalSystem,  # noqa: ARG001  it isolates the names
) -> None:
    """One broker cannot give three replicas: nothing is made with fewer, nor taken for enough."""
    durable = ("--replication-factor", "3", "--min-insync-replicas", "2")
    code, _, said = msctl(kafka_bootstrap, "topics", "--create", *durable)
    assert code == NOT_USABLE_AS_ASKED
    assert "3 replicas need as many brokers, the cluster has 1; nothing was created" in said
    assert "集群节点数少于副本数" in said
    assert not any(row["partitions"] for row in msctl(kafka_bootstrap, "topics")[1])

    assert msctl(kafka_bootstrap, "topics", "--create", "--replication-factor", "1")[0] == 0
    code, rows, said = msctl(kafka_bootstrap, "topics", *durable)
    assert code == NOT_AS_IT_SHOULD_BE
    assert f"{len(TOPICS)} of {len(TOPICS)} topics" in said
    assert {row["differs"] for row in rows} == {
        "replicas is 1, less than 3; min.insync.replicas is 1, less than 2"
    }
    code, _, said = msctl(kafka_bootstrap, "topics")
    assert (code, said) == (0, ""), "one broker has no others that could hold the topics"


def test_topic_that_is_missing_is_never_taken_for_a_stream_in_order(
    kafka_bootstrap: str,
    system: LocalSystem,  # noqa: ARG001  it isolates the names
) -> None:
    """Without topics nothing is behind, everything is whole, and two views are equal."""
    state = topics.name("lifecycle.v1")
    every = [*map(topics.name, SOURCE_TOPICS), state]
    assert_missing(kafka_bootstrap, of_stream=every, of_state=[state])
    assert msctl(kafka_bootstrap, "topics", "--create")[0] == 0
    assert_missing(kafka_bootstrap, of_stream=[], of_state=[])
    complaints = topics.name("complaints.v1")
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.delete_topics([complaints])
        poll_until(
            lambda: complaints not in admin.list_topics(),
            timeout_seconds=60,
            what="the topic is deleted",
        )
    assert_missing(kafka_bootstrap, of_stream=[complaints], of_state=[])
    code, rows, _ = msctl(kafka_bootstrap, "lag")
    assert (code, len(rows)) == (NOT_AS_IT_SHOULD_BE, (SOURCES - 1) * PARTITIONS)


def assert_missing(bootstrap: str, *, of_stream: list[str], of_state: list[str]) -> None:
    """Exactly these topics are told to be missing, by the commands that look at them."""
    looking = {"lag": of_stream, "rebuild status": of_stream, "digest": of_state}
    for command, names in looking.items():
        code, _, said = msctl(bootstrap, *command.split())
        assert code == (NOT_AS_IT_SHOULD_BE if names else 0), (command, said)
        assert re.findall(rf"{re.escape(topics.prefix())}[\w.-]+", said) == names, command


def test_lag_and_digest_follow_what_the_workers_have_committed(
    kafka_bootstrap: str, system: LocalSystem, tmp_path: Path
) -> None:
    """Nothing is behind; then the worker is gone, and exactly what came since is."""
    assert msctl(kafka_bootstrap, "topics", "--create")[0] == 0
    publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS)
    system.start("lifecycle-0", *INTAKES)
    addresses = system.wait_serving(INTAKES)
    submit(
        addresses, *(load_example(family.name, arm) for family in FAMILIES for arm in family.arms)
    )
    wait_folded(kafka_bootstrap)
    wait_applied(kafka_bootstrap)

    def nothing_waits() -> list[dict[str, Any]]:
        code, rows, _ = msctl(kafka_bootstrap, "lag", "--max-seconds", "0")
        return rows if code == 0 and not any(row["lag"] for row in rows) else []

    # A tick may just have been written that is to be applied.
    rows = poll_until(nothing_waits, timeout_seconds=60, what="nothing waits")
    assert len(rows) == SOURCES * PARTITIONS
    assert {row["owner"].partition("@")[0].endswith("-lifecycle-0") for row in rows} == {True}

    system.stop()
    complaints = topics.name("complaints.v1")
    with KafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        for _ in range(3):
            producer.send(complaints, key=b"k", value=b"no event", partition=3).get(30)
    asyncio.run(abort(kafka_bootstrap, topics.name("penalties.v1"), 4))
    code, rows, said = msctl(kafka_bootstrap, "lag", "--behind", "--max-seconds", "0")
    assert code == NOT_AS_IT_SHOULD_BE
    assert "has waited" in said
    events = [row for row in rows if row["topic"] != "control.v1"]
    assert [(row["topic"], row["partition"], row["lag"]) for row in events] == [
        ("complaints.v1", 3, 3)
    ]
    assert events[0]["owner"] is None
    assert events[0]["lag_s"] > 0

    code, told, _ = msctl(kafka_bootstrap, "digest", "--entities")
    assert code == 0
    seen = view_digest(kafka_bootstrap)
    assert (told["total"], told["records"]) == (seen.total, seen.records)
    assert told["digest_by_entity"] == seen.entities
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(told), encoding="utf-8")
    code, same, _ = msctl(kafka_bootstrap, "digest", "--compare", str(earlier))
    assert (code, same["partitions"]) == (0, told["partitions"])

    told["total"] = "0" * 64
    told["partitions"][7] = "0" * 64
    earlier.write_text(json.dumps(told), encoding="utf-8")
    code, _, said = msctl(kafka_bootstrap, "digest", "--compare", str(earlier))
    assert code == NOT_AS_IT_SHOULD_BE
    assert "partitions 7" in said
