"""The synthetic city as it stands on the log: every record with the append time of its story.

Topics take append times from the writer here (CreateTime), so that a log may be written twice, byte
for byte and moment for moment, and so that two years pass in a minute. The years lie ahead of the
machine's clock: a worker asks for a tick only when its clock is past the stream's time, so the only
ticks are those of the log, and no run depends on the hour at which it is made.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.partitioner.default import murmur2
from market_supervision.control.v1.control_pb2 import ControlRecord, Tick

from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.families import FAMILY_BY_NAME, Family, FamilyEvent
from services.contracts.identifiers import canonical_key
from services.contracts.key_schemes import load_key_schemes
from services.contracts.topics import TOPICS, TimestampType
from services.intake.moving import moved_record
from services.intake.pipeline import Pipeline, Prepared
from services.intake.placement import Entry, Place, TailRecord
from services.intake.publisher import OutgoingRecord
from services.intake.slot_history import missing_moves, with_record
from services.runtime.kafka_topics import ensure_topics
from services.synthetic.city import City, CityArguments, build_city

PRESENT = date(2031, 6, 20)
SEED = 20
CONTROL = "control.v1"
TICK_EVERY = timedelta(days=20)
FOR_EVER_MS = str(2**63 - 1)
TIME_LAPSE_SETTINGS = {
    "message.timestamp.type": TimestampType.CREATE.value,
    # Years ahead of the broker's clock are taken.
    "message.timestamp.after.max.ms": FOR_EVER_MS,
    # Segments roll by the records' own times: two years would make a hundred of each partition.
    "segment.ms": FOR_EVER_MS,
}


class Written(NamedTuple):
    """One record of the log."""

    topic: str
    """Short name in the catalogue."""
    partition: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class CityLog:
    """A city and its log, in the order of append times; within a partition no two are equal."""

    city: City
    records: tuple[Written, ...]

    @property
    def begins_ms(self) -> int:
        """Append time of the first record."""
        return self.records[0].timestamp_ms


@cache
def city_log(entities: int) -> CityLog:
    """Return the log of a city of ``entities`` entities that ends on `PRESENT`."""
    city = build_city(CityArguments(SEED, PRESENT, entities=entities))
    intakes = {name: Intake(family) for name, family in FAMILY_BY_NAME.items()}
    records: list[Written] = []
    clock_ms = 0
    tick = city.submissions[0].arrives + TICK_EVERY
    for submission in city.submissions:
        while tick <= submission.arrives:
            clock_ms = max(clock_ms + 1, _ms(tick))
            records.extend(_ticks(clock_ms))
            tick += TICK_EVERY
        for outgoing in intakes[submission.family].take(submission.event, submission.arrives):
            clock_ms = max(clock_ms + 1, _ms(submission.arrives))
            topic = FAMILY_BY_NAME[submission.family].topic
            records.append(Written(topic, partition_of(outgoing.key), clock_ms, *outgoing))
    records.extend(_ticks(clock_ms + 1))
    return CityLog(city, tuple(records))


def partition_of(key: bytes) -> int:
    """Return the partition that every client's default partitioner gives a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % topics.PARTITIONS)


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _ticks(at_ms: int) -> Iterator[Written]:
    control = ControlRecord(tick=Tick())
    control.tick.written_time.FromMilliseconds(at_ms)
    value = control.SerializeToString(deterministic=True)
    for partition in range(topics.PARTITIONS):
        yield Written(CONTROL, partition, at_ms, b"tick|%d" % at_ms, value)


class Intake:
    """What an intake writes of what it is sent: the record itself, and MOVED where it left."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._pipeline = Pipeline(
            family, load_key_schemes(), load_code_tables(), lambda _event, sent_key: sent_key
        )
        self._places: dict[tuple[str, str], tuple[Place, ...]] = {}

    def take(self, event: FamilyEvent, moment: datetime) -> Iterator[OutgoingRecord]:
        """Yield the records that follow from one submission."""
        now_ns = _ms(moment) * 1_000_000
        prepared = self._pipeline.prepare(event, now_ns=now_ns, client="city")
        assert isinstance(prepared, Prepared), prepared
        yield prepared.record
        envelope = event.envelope
        slot = (envelope.source_system, envelope.source_record_id)
        place = Place(
            canonical_key(envelope.entity_key),
            "",
            envelope.matter_id,
            envelope.source_version,
            0,
            envelope.event_time.seconds,
            envelope.event_time.nanos,
            envelope.utc_offset_minutes,
        )
        entry = Entry(0, 0, 0, prepared.payload_hash, place.entity_key)
        record = TailRecord(prepared.key, entry, place, is_moved=False)
        places = with_record(self._places.get(slot, ()), record)
        for move in missing_moves(places):
            yield moved_record(self._family, *slot, move, now_ns=now_ns)
            left = move.place._replace(version=move.version)
            places = with_record(places, record._replace(place=left, is_moved=True))
        self._places[slot] = places


class _LapsedTopic(topics.Topic):
    """A topic that takes the writer's times, years ahead of the broker's clock too."""

    def settings(self) -> dict[str, str]:
        """Return the settings of the catalogue and those of a time-lapse."""
        return super().settings() | TIME_LAPSE_SETTINGS


def make_time_lapse_topics(bootstrap_servers: str) -> None:
    """Make all topics under the current prefix; append times on them are the writers'."""
    catalogue = [_LapsedTopic(**{f.name: getattr(t, f.name) for f in fields(t)}) for t in TOPICS]
    ensure_topics(bootstrap_servers, catalogue=catalogue)


class Feed(threading.Thread):
    """Appends a log in its order while a test meddles with its readers.

    A record is sent when those before it in its partition that stand on other topics are
    acknowledged. A reader that is up to date may still meet two of them the other way round, where
    one answer of the broker reads one topic before both were appended and the other topic after.
    In life that moves the stream's time by a millisecond; here by days, which may make a date's
    cause an event instead of a tick. So records keep a distance that an answer hardly spans, and
    ticks a large one. The pace falls with what is left, so that the feed never ends by itself
    before the test says so.
    """

    SECONDS = 40.0
    """The time in which 63 % of the log are fed."""
    PAUSE_SECONDS_MAX = 0.5
    SLICE_RECORDS = 500
    DISTANCE_SECONDS = 0.01
    TICK_DISTANCE_SECONDS = 0.15

    def __init__(
        self, bootstrap_servers: str, records: Sequence[Written], *, is_read: bool = True
    ) -> None:
        """``is_read``: whether anybody reads while it feeds."""
        super().__init__(name="feed", daemon=True)
        self._is_read = is_read
        self._bootstrap_servers = bootstrap_servers
        self._records = records
        self._names = {short: topics.name(short) for short in topics.CATALOGUE}
        self._hurry = threading.Event()
        self._failure: BaseException | None = None
        self.position = 0
        """Number of records acknowledged."""

    @property
    def in_the_middle(self) -> bool:
        """Whether some records are fed and some are not."""
        return 0 < self.position < len(self._records)

    def run(self) -> None:
        """Feed everything."""
        try:
            with KafkaProducer(
                bootstrap_servers=self._bootstrap_servers, acks="all", linger_ms=0
            ) as producer:
                for chunk in _chunks(self._records) if self._is_read else self._slices():
                    distance = 0.0
                    if self._is_read:
                        is_tick = chunk[0].topic == CONTROL
                        distance = self.TICK_DISTANCE_SECONDS if is_tick else self.DISTANCE_SECONDS
                    time.sleep(distance)
                    self._send(producer, chunk)
                    time.sleep(distance)
                    left = len(self._records) - self.position
                    if left and self._is_read:
                        pause = len(chunk) * self.SECONDS / left
                        self._hurry.wait(min(pause, self.PAUSE_SECONDS_MAX))
        except BaseException as error:  # noqa: BLE001  raised again where the test waits
            self._failure = error

    def _slices(self) -> Iterator[Sequence[Written]]:
        """Cut a log that nobody reads yet: the order within each partition is all that counts."""
        for start in range(0, len(self._records), self.SLICE_RECORDS):
            yield self._records[start : start + self.SLICE_RECORDS]

    def _send(self, producer: KafkaProducer, chunk: Sequence[Written]) -> None:
        sent = [
            producer.send(
                self._names[record.topic],
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
            )
            for record in chunk
        ]
        for future in sent:
            future.get(timeout=60)
        self.position += len(chunk)

    def finish(self, seconds: float = 300) -> None:
        """Feed what is left without pauses; raise what went wrong."""
        self._hurry.set()
        self.join(seconds)
        assert not self.is_alive(), f"fed {self.position} of {len(self._records)} records"
        if self._failure is not None:
            raise self._failure


def _chunks(records: Sequence[Written]) -> Iterator[list[Written]]:
    """Cut a log into what may be under way together.

    A partition's next record stands on another topic than the one before; a tick is alone.
    """
    chunk: list[Written] = []
    topic_of: dict[int, str] = {}
    for record in records:
        other_kind = bool(chunk) and (record.topic == CONTROL) != (chunk[0].topic == CONTROL)
        if other_kind or topic_of.get(record.partition, record.topic) != record.topic:
            yield chunk
            chunk, topic_of = [], {}
        topic_of[record.partition] = record.topic
        chunk.append(record)
    if chunk:
        yield chunk
