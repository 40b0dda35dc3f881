"""Merge a partition's source topics by append time (按追加时间归并).

Live, every topic is at its end and any order will do. On a rebuild or after an outage one topic can
run hours ahead of another, and a tick would fire a deadline whose closing event is on the log but
not read yet. So records are released in the order of (running maximum of append time in their
topic-partition, rank of the topic, offset), and a record is held back while a topic of which
nothing is at hand could still bring an earlier one: until the broker said, no earlier than it
answered with that record, that the other topic is at its end (its last stable offset).

Pure: no clock, no I/O. Times are milliseconds since 1970-01-01T00:00Z.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import islice

from services.streaming.interface import SourceRecord
from services.streaming.meta import Applied, Meta


class HoleError(Exception):
    """Records are missing between what was delivered and what came next (投递缺口)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one poll brought of one topic: ``records`` between two fetch positions.

    ``end`` may lie beyond the last record's offset + 1, and ``records`` may be empty: transactions'
    control records, aborted records and compacted ones take offsets and are not delivered.
    ``answered_ms`` is the consumer's clock when the broker's answer came.
    """

    topic: str
    start: int
    end: int
    answered_ms: int
    records: Sequence[SourceRecord]


@dataclass(frozen=True, slots=True)
class TopicEnd:
    """The broker's latest answer about a topic: its last stable offset, and our position then."""

    topic: str
    position: int
    stable_end: int
    answered_ms: int


class _Source:
    """One topic's records at hand, in offset order, and what is known of its end."""

    __slots__ = (
        "at_end_ms", "chunks", "delivered", "index", "rank", "released", "running_max_ms", "topic",
    )  # fmt: skip

    def __init__(self, topic: str, rank: int, applied: Applied | None) -> None:
        self.topic = topic
        self.rank = rank
        self.delivered = 0 if applied is None else applied.next_offset
        self.running_max_ms = 0 if applied is None else applied.append_time_ms
        self.chunks: deque[Chunk] = deque()
        self.index = 0
        self.released = 0
        self.at_end_ms: int | None = None

    def head_time(self) -> int:
        """Return the sort time of the first record at hand. There must be one."""
        append_time_ms = self.chunks[0].records[self.index].append_time_ms
        return max(self.running_max_ms, append_time_ms)


_SortKey = tuple[int, int]
"""Append time (running maximum) and rank; offsets need no place in it."""

_Released = tuple[SourceRecord, int, int]
"""A record in its final place, the position after it, and its sort time (plain for speed)."""


class Merge:
    """The records of one partition between delivery and the unit of work.

    ``accept`` and ``note_end`` take what the consumer brought; ``peek`` and ``consume`` serve the
    unit of work. ``applied`` tells what was consumed: it goes into META.
    """

    def __init__(self, topics: Sequence[str], meta: Meta) -> None:
        """Start at ``meta``'s position; ``topics`` in rank order (earlier first on equal times)."""
        self._sources = [_Source(t, rank, meta.applied.get(t)) for rank, t in enumerate(topics)]
        self._by_topic = {source.topic: source for source in self._sources}
        self._released: deque[_Released] = deque()
        self._applied = dict(meta.applied)
        self._latest_answer_ms = 0

    @property
    def applied(self) -> dict[str, Applied]:
        """Position per topic after everything consumed so far.

        Where nothing of a topic is at hand that is its fetch position, else control records of
        transactions at its end would look like a lag for ever.
        """
        positions = dict(self._applied)
        for source in self._sources:
            if source.delivered and not source.chunks and not source.released:
                positions[source.topic] = Applied(source.delivered, source.running_max_ms)
        return positions

    @property
    def waiting(self) -> int:
        """Records at hand, released or held."""
        held = sum(
            sum(len(chunk.records) for chunk in source.chunks) - source.index
            for source in self._sources
        )
        return held + len(self._released)

    def accept(self, chunk: Chunk) -> None:
        """Take a chunk over.

        Raises:
            HoleError: it does not begin where the one before it ended.
        """
        source = self._by_topic[chunk.topic]
        if chunk.start != source.delivered:
            raise HoleError(
                f"{chunk.topic}: delivered from {chunk.start}, expected {source.delivered}"
            )
        self._note_answer(chunk.answered_ms)
        source.delivered = chunk.end
        source.at_end_ms = None
        if chunk.records:
            source.chunks.append(chunk)

    def note_end(self, end: TopicEnd) -> None:
        """Learn whether a topic was at its end when the broker answered."""
        self._note_answer(end.answered_ms)
        source = self._by_topic[end.topic]
        at_end = end.position == source.delivered and end.position >= end.stable_end
        source.at_end_ms = end.answered_ms if at_end else None

    def peek(self, max_records: int, max_bytes: int) -> list[SourceRecord]:
        """Return the next records in merge order without consuming them; empty if all are held.

        At least one is returned if any is released, whatever its size.
        """
        self._release(max_records)
        taken: list[SourceRecord] = []
        size = 0
        for record, _, _ in islice(self._released, max_records):
            size += len(record.key or b"") + len(record.value or b"")
            if taken and size > max_bytes:
                break
            taken.append(record)
        return taken

    def peek_topic(self, topic: str) -> list[SourceRecord]:
        """Return the next record of one topic alone, whatever the others hold; empty if none.

        For the time before the step can judge anything (no rule bundle): control records only.
        """
        if not self._released:
            source = self._by_topic[topic]
            if not source.chunks:
                return []
            self._take_run(source, 1, None)
        first = self._released[0][0]
        return [first] if first.topic == topic else []

    def consume(self, count: int) -> None:
        """Account for the first ``count`` records of the last peek."""
        last: dict[str, _Released] = {}
        for _ in range(count):
            released = self._released.popleft()
            topic = released[0].topic
            last[topic] = released
            self._by_topic[topic].released -= 1
        for topic, (_, next_offset, time_ms) in last.items():
            self._applied[topic] = Applied(next_offset, time_ms)

    def _note_answer(self, answered_ms: int) -> None:
        if answered_ms < self._latest_answer_ms:
            # The machine's clock stepped back: what was stamped before would wait for the clock to
            # catch up, so it counts as answered long ago.
            for source in self._sources:
                source.chunks = deque(
                    Chunk(c.topic, c.start, c.end, 0, c.records) for c in source.chunks
                )
        self._latest_answer_ms = answered_ms

    def _release(self, wanted: int) -> None:
        """Release up to ``wanted`` records in all, as far as nothing may sort before them."""
        while len(self._released) < wanted:
            heads = [(s.head_time(), s.rank, s) for s in self._sources if s.chunks]
            heapify(heads)
            if not self._release_runs(heads, self._horizon(), wanted):
                return

    def _horizon(self) -> _SortKey | None:
        """Return the least key a record may have that is still to come; None: no bound is known.

        A topic of which nothing is at hand bounds by its running maximum, unless it was at its end
        no earlier than the newest answer that brought records at hand.
        """
        fetched_ms = max((s.chunks[0].answered_ms for s in self._sources if s.chunks), default=0)
        return min(
            (
                (s.running_max_ms, s.rank)
                for s in self._sources
                if not s.chunks and (s.at_end_ms is None or s.at_end_ms < fetched_ms)
            ),
            default=None,
        )

    def _release_runs(
        self, heads: list[tuple[int, int, _Source]], horizon: _SortKey | None, wanted: int
    ) -> bool:
        """Release runs until a chunk is used up (True: look again) or nothing more may go (False).

        ``heads`` is a heap of the first records at hand; ranks differ, so sources never compare.
        """
        while heads:
            time_ms, rank, source = heads[0]
            if horizon is not None and (time_ms, rank) >= horizon:
                return False
            bound = min((head[:2] for head in heads[1:3]), default=horizon)
            if horizon is not None and bound is not None:
                bound = min(bound, horizon)
            self._take_run(source, wanted - len(self._released), bound)
            if source.index == 0:
                return True
            if len(self._released) >= wanted:
                return False
            heapreplace(heads, (source.head_time(), rank, source))
        return False

    def _take_run(self, source: _Source, limit: int, bound: _SortKey | None) -> None:
        """Release records of ``source``'s first chunk that sort before ``bound``, at most limit."""
        chunk, rank = source.chunks[0], source.rank
        records, index, time_ms = chunk.records, source.index, source.running_max_ms
        stop = min(len(records), index + limit)
        while index < stop:
            record = records[index]
            sort_time = max(time_ms, record.append_time_ms)
            if bound is not None and (sort_time, rank) >= bound:
                break
            time_ms = sort_time
            index += 1
            self._released.append((record, record.offset + 1, time_ms))
        source.released += index - source.index
        source.index, source.running_max_ms = index, time_ms
        if index == len(records):
            record, _, time_ms = self._released[-1]
            self._released[-1] = (record, chunk.end, time_ms)
            source.chunks.popleft()
            source.index = 0
