"""Where the stream stands, read from the log itself in bounded memory (处理位点).

What is applied stands in the META record that closes every transaction of `lifecycle.v1`: the only
position that counts. The consumer group's offsets are for display, and late.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError

from services.contracts import topics
from services.contracts.topics import PARTITIONS
from services.streaming.meta import META_KEY, Meta, decode

STATE_TOPIC: Final = topics.STATE_TOPIC
TAIL_OFFSETS: Final = 64
"""Offsets before the end in which META is looked for first; then sixteen times as many, and on."""
TAIL_FACTOR: Final = 16
FETCH_BYTES: Final = 256 << 10
"""Of one partition at a time; a larger batch is still answered whole."""
POLL_MS: Final = 500
POLLS_WITHOUT_NEWS_MAX: Final = 60
REQUEST_TIMEOUT_MS: Final = 15_000


class Position(NamedTuple):
    """The newest META record of a partition and when it was committed (machine's clock)."""

    meta: Meta
    committed_ms: int


@contextmanager
def committed_reader(bootstrap_servers: str) -> Iterator[KafkaConsumer]:
    """Yield a reader of committed records without a group, that fetches little at a time."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    try:
        yield consumer
    finally:
        consumer.close()


def existing(consumer: KafkaConsumer, short_names: Sequence[str]) -> list[TopicPartition]:
    """Return the partitions of those topics that exist."""
    there = consumer.topics()
    return [
        TopicPartition(name, number)
        for name in map(topics.name, short_names)
        if name in there
        for number in sorted(consumer.partitions_for_topic(name) or ())
    ]


def applied(consumer: KafkaConsumer) -> dict[int, Position]:
    """Return the newest META of every partition that has one.

    Read from the end backwards, a little more each time: META is the last record of a transaction,
    so it is nearly always within the last few offsets.
    """
    found: dict[int, Position] = {}
    wanted = {tp.partition: tp for tp in existing(consumer, [STATE_TOPIC])}
    ends = consumer.end_offsets(list(wanted.values()))
    begins = consumer.beginning_offsets(list(wanted.values()))
    span = TAIL_OFFSETS
    while wanted:
        starts = {tp: max(begins[tp], ends[tp] - span) for tp in wanted.values()}
        found |= _newest(consumer, starts, ends)
        wanted = {
            number: tp
            for number, tp in wanted.items()
            if number not in found and starts[tp] > begins[tp]
        }
        span *= TAIL_FACTOR
    return found


def _newest(
    consumer: KafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[int, Position]:
    newest: dict[int, Position] = {}
    for tp, record in read_between(consumer, starts, ends):
        if record.key == META_KEY and record.value is not None:
            newest[tp.partition] = Position(decode(record.value), record.timestamp)
    return newest


def oldest_waiting_ms(
    consumer: KafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Return the append time of the first record at or after each start, where there is one.

    Offsets without a record (markers of transactions, aborted records) are passed over.
    """
    oldest: dict[TopicPartition, int] = {}
    for tp, record in read_between(consumer, starts, ends, first_only=True):
        oldest.setdefault(tp, record.timestamp)
    return oldest


def read_between(
    consumer: KafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    first_only: bool = False,
) -> Iterator[tuple[TopicPartition, Any]]:
    """Yield the committed records from each start to each end; of each only the first, if asked.

    Raises KafkaTimeoutError when the broker brings nothing for half a minute.
    """
    left = {tp for tp, start in starts.items() if start < ends[tp]}
    consumer.assign(sorted(left))
    for tp in left:
        consumer.seek(tp, starts[tp])
    quiet = 0
    while left:
        before = {tp: consumer.position(tp) for tp in left}
        for tp, records in consumer.poll(timeout_ms=POLL_MS).items():
            within = [record for record in records if record.offset < ends[tp]]
            for record in within[:1] if first_only else within:
                yield tp, record
            if first_only and within and tp in left:
                left.discard(tp)
                consumer.pause(tp)
        moved = {tp for tp, offset in before.items() if consumer.position(tp) != offset}
        for tp in [tp for tp in left if consumer.position(tp) >= ends[tp]]:
            left.discard(tp)
            consumer.pause(tp)
        quiet = 0 if moved else quiet + 1
        if left and quiet > POLLS_WITHOUT_NEWS_MAX:
            names = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(left)[:3])
            raise KafkaTimeoutError(f"the broker answers nothing of {names} (消息系统无应答)")


def owners(bootstrap_servers: str) -> dict[int, str]:
    """Return by partition which worker owns it, as the groups of the stream workers say.

    A group is one of them when it reads control records; while it rebalances nobody owns anything.
    A shadow's worker is named beside that of the version it follows.
    """
    control = topics.name("control.v1")
    owned: dict[int, set[str]] = {}
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        active = [g["group_id"] for g in admin.list_groups() if g["group_state"] != "Empty"]
        groups = admin.describe_groups(active) if active else {}
    for group in groups.values():
        for member in group["members"]:
            worker = f"{member['client_id']}@{member['client_host'].lstrip('/')}"
            assignment = member["member_assignment"] or {}
            for assigned in assignment.get("assigned_partitions", ()):
                if assigned["topic"] == control:
                    for number in assigned["partitions"]:
                        owned.setdefault(number, set()).add(worker)
    return {n: ", ".join(sorted(workers)) for n, workers in owned.items() if n < PARTITIONS}
