"""The raw topics as a plain reader of committed records sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

PRODUCTION_PREFIX = "market-supervision."
EVENT_TOPICS = ("registration.v1", "inspections.v1", "complaints.v1", "penalties.v1")
CONTROL, STATE, ALERTS = "control.v1", "lifecycle.v1", "alerts.v1"
DEAD_LETTERS, TIMELINE, LINKS = "dead-letter.v1", "timeline.v1", "links.v1"
TOPICS = (STATE, *EVENT_TOPICS, CONTROL, ALERTS, DEAD_LETTERS, TIMELINE, LINKS)
"""The state is read first: what it says it applied is then surely among the events read."""

SETTLED_TOPICS = (*EVENT_TOPICS, ALERTS, DEAD_LETTERS, LINKS)
"""Topics that do not grow at rest; ticks and positions go on."""
READS_MAX = 6
_POLL_MS = 500


class LogRecord(NamedTuple):
    """One committed record; ``topic`` is the short name."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> bytes | None:
        """Return the value of a header, None where there is none."""
        return next((value for held, value in self.headers if held == name), None)


class UnsettledError(Exception):
    """The topics went on growing while they were read."""


@dataclass(frozen=True, slots=True)
class RawLog:
    """All topics of one system at rest."""

    prefix: str
    records: Mapping[str, Sequence[LogRecord]]
    """Short name → records in the order of partition and offset."""
    ends: Mapping[tuple[str, int], int]
    """(short name, partition) → end offset for readers of committed records."""
    partitions: int
    _places: dict[tuple[str, int, int], LogRecord] = field(default_factory=dict)

    @property
    def events(self) -> list[LogRecord]:
        """Records of the four event topics."""
        return [record for topic in EVENT_TOPICS for record in self.records[topic]]

    def short(self, full_name: str) -> str:
        """Return the short name of a topic."""
        return full_name.removeprefix(self.prefix)

    def at(self, topic: str, partition: int, offset: int) -> LogRecord | None:
        """Return the record of an event topic at a place, None where there is none."""
        if not self._places:
            for record in self.events:
                self._places[record.topic, record.partition, record.offset] = record
        return self._places.get((topic, partition, offset))

    def latest(self, topic: str) -> dict[tuple[int, bytes], LogRecord]:
        """Return (partition, key) → its latest record; without keys that begin with `!` or NUL.

        A key that stands in two partitions is there twice: compaction would keep both for ever.
        """
        return {
            (record.partition, record.key): record
            for record in self.records[topic]
            if record.key is not None and not record.key.startswith((b"\x00", b"!"))
        }

    def latest_of(self, topic: str, partition: int, key: bytes) -> bytes | None:
        """Return the latest value of a key within a partition."""
        found = None
        for record in self.records[topic]:
            if record.partition == partition and record.key == key:
                found = record.value
        return found


def read_log(bootstrap: str, prefix: str) -> RawLog:
    """Read every topic of a system at rest; read again where it was not.

    Raises UnsettledError when events, alerts or dead letters grew during each of `READS_MAX`
    readings.
    """
    prefix = prefix or PRODUCTION_PREFIX
    for _attempt in range(READS_MAX):
        log = _read_once(bootstrap, prefix)
        settled = committed_ends(bootstrap, prefix, log.partitions, SETTLED_TOPICS)
        if all(log.ends[place] == end for place, end in settled.items()):
            return log
    raise UnsettledError("the topics grow while they are read: the system is not at rest")


def _consumer(bootstrap: str) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 << 20,
        fetch_max_bytes=32 << 20,
    )


def committed_ends(
    bootstrap: str, prefix: str, partitions: int, topics: Sequence[str]
) -> dict[tuple[str, int], int]:
    """Return (short name, partition) → end offset for readers of committed records, as of now."""
    consumer = _consumer(bootstrap)
    try:
        wanted = [TopicPartition(prefix + t, p) for t in topics for p in range(partitions)]
        ends = consumer.end_offsets(wanted)
        return {(tp.topic.removeprefix(prefix), tp.partition): end for tp, end in ends.items()}
    finally:
        consumer.close()


def _read_once(bootstrap: str, prefix: str) -> RawLog:
    consumer = _consumer(bootstrap)
    try:
        numbers = consumer.partitions_for_topic(prefix + STATE)
        if not numbers:
            raise LookupError(f"there is no topic {prefix}{STATE}")
        ends: dict[tuple[str, int], int] = {}
        records: dict[str, list[LogRecord]] = {}
        for topic in TOPICS:
            records[topic] = _topic(consumer, prefix, topic, len(numbers), ends)
        return RawLog(prefix, records, ends, len(numbers))
    finally:
        consumer.close()


def _topic(
    consumer: KafkaConsumer,
    prefix: str,
    topic: str,
    partitions: int,
    ends: dict[tuple[str, int], int],
) -> list[LogRecord]:
    places = [TopicPartition(prefix + topic, number) for number in range(partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    targets = consumer.end_offsets(places)
    ends.update({(topic, tp.partition): end for tp, end in targets.items()})
    found: list[LogRecord] = []
    while any(consumer.position(tp) < targets[tp] for tp in places):
        for tp, batch in consumer.poll(timeout_ms=_POLL_MS, max_records=5000).items():
            found.extend(
                LogRecord(
                    topic, tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)
                )
                for r in batch
            )
    kept = [record for record in found if record.offset < ends[topic, record.partition]]
    return sorted(kept, key=lambda record: (record.partition, record.offset))
