"""Writing a bundle of rules to every partition of the control topic, in one transaction."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from market_supervision.control.v1.control_pb2 import BundleFile, ControlRecord, RuleBundle

from services.contracts import topics
from services.contracts.bundles import build_bundle, content_hash, is_intact
from services.control.succession import check_succession
from services.lifecycle.rules.bundle import CompiledBundle
from services.runtime import clock

NOTICE_SECONDS_MIN = 60
"""A bundle names a moment at least so far ahead, so that every partition knows it by then."""
KEY_PREFIX = "bundle/"
TRANSACTIONAL_ID = "market-supervision-control-publisher"
READ_TIMEOUT_SECONDS = 60.0
POLL_MS = 500
REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""Largest record before compression; what counts at the broker is the compressed batch."""


class DamagedBundleError(Exception):
    """The newest bundle on the control topic is not what its content hash says."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"bundle {version} on the control topic is not what its content_hash says / "
            f"控制主题上的规则包 {version} 与其 content_hash 不符"
        )


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a bundle."""

    version: int
    content_hash: str
    effective_time: datetime
    is_new: bool
    """False when the newest bundle on the topic has this content already: nothing was written."""


async def publish_bundle(
    bootstrap_servers: str,
    files: Iterable[BundleFile],
    *,
    notice_seconds: int = NOTICE_SECONDS_MIN,
    timestamp_ms: int | None = None,
) -> Published:
    """Check and publish the files as the next bundle, unless the newest one has this content.

    The first bundle holds at once and for everything before it; a later one ``notice_seconds``, at
    least 60, after now. ``timestamp_ms`` is the record's own time, for topics that do not take the
    broker's. Raises BundleError for rules that are wrong or missing, DamagedBundleError,
    BundleTooLargeError, ValueError for too short a notice, and kafka's errors; of two publishers at
    once the older one is fenced.
    """
    if notice_seconds < NOTICE_SECONDS_MIN:
        message = f"notice_seconds: {notice_seconds} is less than {NOTICE_SECONDS_MIN}"
        raise ValueError(message)
    wanted = list(files)
    CompiledBundle.from_bundle(build_bundle(wanted, 1, clock.utc_now()))
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        transactional_id=TRANSACTIONAL_ID,
        compression_type="gzip",
        max_request_size=REQUEST_BYTES_MAX,
    )
    await producer.start()
    try:
        # Only now: starting ended whatever transaction an earlier publisher left open.
        newest = await newest_bundle(bootstrap_servers)
        if newest is not None and newest.content_hash == content_hash(wanted):
            return _published(newest, is_new=False)
        if newest is not None:
            check_succession(newest.files, wanted)
        holds_from = clock.utc_now()
        if newest is not None:
            holds_from += timedelta(seconds=notice_seconds)
        bundle = build_bundle(wanted, 1 if newest is None else newest.version + 1, holds_from)
        await _write(producer, bundle, timestamp_ms)
        return _published(bundle, is_new=True)
    finally:
        await producer.stop()


def publish(
    bootstrap_servers: str,
    files: Iterable[BundleFile],
    *,
    notice_seconds: int = NOTICE_SECONDS_MIN,
    timestamp_ms: int | None = None,
) -> Published:
    """Do as `publish_bundle`, for callers without an event loop."""
    return asyncio.run(
        publish_bundle(
            bootstrap_servers, files, notice_seconds=notice_seconds, timestamp_ms=timestamp_ms
        )
    )


async def newest_bundle(bootstrap_servers: str) -> RuleBundle | None:
    """Return the bundle with the highest version on the control topic; None when there is none.

    DamagedBundleError when its content is not what its hash says; TimeoutError when the topic's end
    is not reached within 60 seconds.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await _read_newest(consumer)
    finally:
        await consumer.stop()


async def _read_newest(consumer: AIOKafkaConsumer) -> RuleBundle | None:
    # Every partition holds the same bundles; the first is as good as any.
    partition = TopicPartition(topics.name("control.v1"), 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    end = (await consumer.end_offsets([partition]))[partition]
    newest: RuleBundle | None = None
    while await consumer.position(partition) < end:
        records = await consumer.getmany(partition, timeout_ms=POLL_MS)
        for record in records.get(partition, ()):
            if not (record.key or b"").startswith(KEY_PREFIX.encode()):
                continue
            bundle = ControlRecord.FromString(record.value).rule_bundle
            if newest is None or bundle.version > newest.version:
                newest = bundle
    if newest is not None and not is_intact(newest):
        raise DamagedBundleError(newest.version)
    return newest


async def _write(producer: AIOKafkaProducer, bundle: RuleBundle, timestamp_ms: int | None) -> None:
    key = f"{KEY_PREFIX}{bundle.version}".encode()
    value = ControlRecord(rule_bundle=bundle).SerializeToString(deterministic=True)
    async with producer.transaction():
        sent = [
            await producer.send(
                topics.name("control.v1"),
                key=key,
                value=value,
                partition=partition,
                timestamp_ms=timestamp_ms,
            )
            for partition in range(topics.PARTITIONS)
        ]
        # A record that the broker refuses does not by itself keep the others from being committed.
        await asyncio.gather(*sent)


def _published(bundle: RuleBundle, *, is_new: bool) -> Published:
    effective = bundle.effective_time.ToDatetime(tzinfo=UTC)
    return Published(bundle.version, bundle.content_hash, effective, is_new)
