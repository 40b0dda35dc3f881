"""The broker and Redis that the project starts itself."""

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from services.contracts import topics
from services.contracts.topics import CATALOGUE, PARTITIONS, TOPICS, TimestampType
from services.local.kafka import LocalKafka
from services.local.redis import LocalRedis
from services.local.waiting import poll_until
from services.runtime.kafka_topics import TopicMismatchError, ensure_topics

SEND_TIMEOUT_SECONDS = 20


def test_topics_created_twice_second_time_changes_nothing(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """Creating the topics is idempotent and gives each of them twelve partitions."""
    prefix = fresh_topics()
    assert ensure_topics(kafka_bootstrap) == []
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        described = admin.describe_topics([prefix + topic.short_name for topic in TOPICS])
    assert {len(topic["partitions"]) for topic in described} == {PARTITIONS}


def test_topic_with_other_settings_is_refused_by_name(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """A topic whose timestamps are not the broker's is named, with what it has and should have."""
    fresh_topics(timestamp_type=TimestampType.CREATE, catalogue=[CATALOGUE["control.v1"]])
    expected = r"control\.v1: message\.timestamp\.type is CreateTime, not LogAppendTime"
    with pytest.raises(TopicMismatchError, match=expected):
        ensure_topics(kafka_bootstrap)


def test_topic_with_another_partition_count_is_refused_by_name(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three partitions instead of twelve would tear the families of an entity apart."""
    monkeypatch.setenv(topics.TOPIC_PREFIX_VARIABLE, f"three-{uuid.uuid4().hex[:8]}.")
    topic, name = CATALOGUE["control.v1"], topics.name("control.v1")
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap) as admin:
        admin.create_topics({name: {"num_partitions": 3, "replication_factor": 1}})
        admin.wait_for_topics([name])
    with pytest.raises(TopicMismatchError, match=rf"{name}: 3 partitions, not 12"):
        ensure_topics(kafka_bootstrap, catalogue=[topic])


def test_record_of_a_mebibyte_fits_with_its_wrapping(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """A dead letter that wraps the largest source record is taken by the broker."""
    fresh_topics(catalogue=[CATALOGUE["dead-letter.v1"]])
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap, max_request_size=2 * 1024 * 1024)
    value = b"x" * (1024 * 1024 + 64 * 1024)
    sent = producer.send(topics.name("dead-letter.v1"), value).get(SEND_TIMEOUT_SECONDS)
    producer.close()
    assert sent.offset == 0


def test_broker_killed_comes_back_with_its_records_and_address(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged before kill -9 of the broker is on the log afterwards."""
    monkeypatch.setenv(topics.TOPIC_PREFIX_VARIABLE, "killed.")
    with LocalKafka(run_directory / "kafka") as kafka:
        address = kafka.bootstrap_servers
        ensure_topics(address, catalogue=[CATALOGUE["registration.v1"]])
        name = topics.name("registration.v1")
        producer = KafkaProducer(bootstrap_servers=address)
        sent = producer.send(name, b"value", key=b"key").get(SEND_TIMEOUT_SECONDS)
        producer.close()
        os.kill(kafka.pid, signal.SIGKILL)
        poll_until(lambda: not kafka.running(), what="the broker is gone")
        assert kafka.start() == address
        consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(name, sent.partition)])
        records = poll_until(lambda: consumer.poll(500), timeout_seconds=120, what="the record")
        consumer.close()
    assert [record.value for batch in records.values() for record in batch] == [b"value"]


def test_broker_left_by_a_crashed_run_is_ended_and_replaced(run_directory: Path) -> None:
    """A second start in the same directory ends the first broker by its pid file."""
    first = LocalKafka(run_directory / "kafka")
    first.start()
    with LocalKafka(run_directory / "kafka") as second:
        assert not first.running()
        assert second.running()
    assert not second.running()


def test_redis_stopped_and_started_keeps_address_and_snapshot(run_directory: Path) -> None:
    """A clean stop of Redis keeps its data, and it comes back under the same URL."""
    server = LocalRedis(run_directory / "redis")
    url = server.start()
    with redis.Redis.from_url(url) as client:
        client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    server.stop()
    assert server.start() == url
    with redis.Redis.from_url(url) as client:
        assert client.get("key") == b"value"
    server.stop()
