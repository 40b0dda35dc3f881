"""Fold a partition again from the beginning, and publish nothing a second time (从原始记录重建).

A partition without state that finds source records folds them all again. What it writes under keys
(state, timeline, links) comes out as it was; but the records of the *guarded* topics, alerts and
dead letters, stand there already, and count one by one. So its first META tells where sources and
guarded topics ended at that moment. Until the sources are applied up to there, every side record
for a guarded topic is compared by its identity with what the topic held, and withheld if it stands
there. The mark travels with the state in every unit's transaction, so a kill or another worker's
taking over changes nothing: whoever opens the partition reads the guarded topics up to the same
offsets again.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.logging import get_logger
from services.streaming.health import RestoreProgress
from services.streaming.interface import Headers, SideRecord
from services.streaming.meta import Applied, Rebuild
from services.streaming.unit_of_work import MARK_HEADER

log = get_logger(__name__)

Identify = Callable[[SideRecord], bytes]
"""What makes a guarded record the same one when it is written again; the business knows it."""

_DIGEST_BYTES = 12


def whole_record(record: SideRecord) -> bytes:
    """Identify a record by all of it: for a business that gives its records no name."""
    return _digest(record)


class Published:
    """What the guarded topics of a partition held when its rebuild began, by identity.

    ``ends``: topic → offset after the last record that counts.
    """

    def __init__(self, identify: Identify, ends: Mapping[str, int]) -> None:
        self.ends = ends
        self._identify = identify
        self._digests: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, record: SideRecord) -> None:
        """Remember one record."""
        self._digests[self._name(record)] = _digest(record)

    def find(self, record: SideRecord) -> bytes | None:
        """Return the digest of the record that stands there under the same identity."""
        return self._digests.get(self._name(record))

    def _name(self, record: SideRecord) -> bytes:
        # A hash: identities may be long, and millions of them are held.
        whole = record.topic.encode() + b"\0" + self._identify(record)
        return hashlib.blake2b(whole, digest_size=16).digest()


class Rebuilding:
    """The rebuild of one partition, or none.

    ``withhold`` takes a unit's side records; ``mark`` gives what the unit's META has to bear.
    """

    def __init__(
        self,
        rebuild: Rebuild | None = None,
        published: Published | None = None,
        partition: int = 0,
    ) -> None:
        self._partition = partition
        self._rebuild = rebuild
        self._published = published

    @property
    def rebuild(self) -> Rebuild | None:
        """What the newest META bears; None when nothing is rebuilt (any more)."""
        return self._rebuild

    def withhold(self, side: Sequence[SideRecord]) -> Sequence[SideRecord]:
        """Return what of ``side`` is new, and count the rest."""
        if self._rebuild is None or self._published is None or not len(self._published):
            return side
        fresh, differing = [], 0
        for record in side:
            stands = None
            if record.topic in self._rebuild.guarded:
                stands = self._published.find(record)
            if stands is None:
                fresh.append(record)
            elif stands != _digest(record):
                differing += 1
        self._rebuild = replace(
            self._rebuild,
            withheld=self._rebuild.withheld + len(side) - len(fresh),
            differing=self._rebuild.differing + differing,
        )
        return fresh

    def mark(self, applied: Mapping[str, Applied]) -> Rebuild | None:
        """Return what the META of a unit bears that leads to ``applied``; the end is logged."""
        rebuild = self._rebuild
        if rebuild is None or not rebuild.is_over(applied):
            return rebuild
        if any(rebuild.guarded.values()):
            self._tell_end(rebuild)
        self._rebuild = self._published = None
        return None

    def _tell_end(self, rebuild: Rebuild) -> None:
        """Say how the rebuild came out; what did not come out as it stands is a warning.

        ``missing``: records that stand on the guarded topics and were not made again. Nobody will
        follow them up: an alert among them that is open stays open.
        """
        missing = max(0, len(self._published or ()) - rebuild.withheld)
        say = log.warning if missing or rebuild.differing else log.info
        say(
            "rebuilt",
            partition=self._partition,
            withheld=rebuild.withheld,
            differing=rebuild.differing,
            missing=missing,
        )


async def begin(
    consumer: AIOKafkaConsumer,
    sources: Collection[str],
    guarded: Collection[str],
    stateless: Iterable[int],
) -> dict[int, Rebuild]:
    """Return the marks of partitions without state, as far as there is something to fold again.

    The partitions must be fenced: their guarded topics do not grow any more. ``consumer`` reads
    committed records only.
    """
    numbers = list(stateless)
    wanted = [TopicPartition(topic, n) for topic in {*sources, *guarded} for n in numbers]
    ends = await consumer.end_offsets(wanted) if wanted else {}
    marks = {
        number: Rebuild(
            {topic: ends[TopicPartition(topic, number)] for topic in sources},
            {topic: ends[TopicPartition(topic, number)] for topic in guarded},
        )
        for number in numbers
    }
    return {number: mark for number, mark in marks.items() if any(mark.sources.values())}


async def read_published(
    consumer: AIOKafkaConsumer,
    published: Mapping[int, Published],
    progress: Mapping[int, RestoreProgress],
    note: Callable[[int], None],
) -> None:
    """Fill ``published``, by partition; ``note`` is told record counts, ``progress`` what is left.

    ``consumer`` is assigned anew.
    """
    ends = {
        TopicPartition(topic, number): end
        for number, wanted in published.items()
        for topic, end in wanted.ends.items()
        if end
    }
    if not ends:
        return
    consumer.assign(sorted(ends))
    for tp, begin_offset in (await consumer.beginning_offsets(list(ends))).items():
        consumer.seek(tp, begin_offset)
    while await _left(consumer, ends, progress):
        answer = await consumer.getmany(timeout_ms=200, max_records=5_000)
        for tp, records in answer.items():
            for r in records:
                if r.offset < ends[tp]:
                    published[tp.partition].add(_side_record(r))
            note(len(records))


async def _left(
    consumer: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    progress: Mapping[int, RestoreProgress],
) -> int:
    """Return how many offsets are yet to be read; what is read to its end is fetched no more."""
    left = {tp.partition: 0 for tp in ends}
    for tp, end in ends.items():
        to_read = max(0, end - await consumer.position(tp))
        left[tp.partition] += to_read
        if not to_read:
            consumer.pause(tp)
    for number, offsets in left.items():
        progress[number].published_left = offsets
    return sum(left.values())


def _side_record(record: Any) -> SideRecord:
    headers: Headers = tuple((name, value or b"") for name, value in record.headers)
    return SideRecord(record.topic, record.key, record.value or b"", headers)


def _digest(record: SideRecord) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    parts = [record.key or b"", record.value]
    for name, value in record.headers:
        if name != MARK_HEADER:  # units are cut in another way each time
            parts += [name.encode(), value]
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()
