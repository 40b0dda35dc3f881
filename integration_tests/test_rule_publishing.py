"""Publishing bundles of rules to a real broker."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import InvalidTimestampError
from market_supervision.control.v1.control_pb2 import ControlRecord, RuleBundle

from services.contracts import topics
from services.contracts.bundles import is_intact, overridden, read_files
from services.contracts.topics import TimestampType
from services.control.publishing import publish_bundle
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.errors import BundleError
from services.runtime import clock


async def bundles_by_partition(bootstrap: str) -> list[list[RuleBundle]]:
    """Read what a consumer of committed records finds in each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    partitions = [TopicPartition(topics.name("control.v1"), n) for n in range(topics.PARTITIONS)]
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[list[RuleBundle]] = [[] for _ in partitions]
        async with asyncio.timeout(30):
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    batches = await consumer.getmany(timeout_ms=500)
                    for source, records in batches.items():
                        found[source.partition] += [
                            ControlRecord.FromString(record.value).rule_bundle for record in records
                        ]
        return found
    finally:
        await consumer.stop()


async def test_publishing_reaches_every_partition_and_numbers_versions(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """The first bundle holds at once, equal content is written once, the next one holds later."""
    fresh_topics()
    first = await publish_bundle(kafka_bootstrap, read_files())
    again = await publish_bundle(kafka_bootstrap, read_files())
    wide = await publish_bundle(kafka_bootstrap, overridden(read_files(), {"max_age_days": 36_500}))

    assert (first.version, first.is_new) == (1, True)
    assert (again.version, again.is_new) == (1, False)
    assert (wide.version, wide.is_new) == (2, True)
    assert wide.effective_time - first.effective_time >= timedelta(seconds=60)
    for held in await bundles_by_partition(kafka_bootstrap):
        assert [bundle.version for bundle in held] == [1, 2]
        assert all(is_intact(bundle) for bundle in held)
        assert CompiledBundle.from_bundle(held[1]).rules[0].row.max_age_days == 36_500


async def test_publishing_wrong_rules_writes_nothing(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """A bundle with a mistake is refused at the door, with file and field."""
    fresh_topics()
    with pytest.raises(BundleError, match=r"rules/R01.*: max_age_days: -1"):
        await publish_bundle(kafka_bootstrap, overridden(read_files(), {"max_age_days": -1}))
    assert all(not held for held in await bundles_by_partition(kafka_bootstrap))


async def test_publishing_that_the_broker_refuses_is_an_error(
    kafka_bootstrap: str, fresh_topics: Callable[..., str]
) -> None:
    """A bundle that a partition does not take is not said to be published, and is nowhere."""
    fresh_topics(timestamp_type=TimestampType.CREATE)
    day_ahead = clock.now_ms() + 24 * 3_600_000
    with pytest.raises(InvalidTimestampError):
        await publish_bundle(kafka_bootstrap, read_files(), timestamp_ms=day_ahead)
    assert all(not held for held in await bundles_by_partition(kafka_bootstrap))
