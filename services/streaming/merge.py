"""Merge a partition's source topics by append time (按追加时间归并).

Live, every topic is at its end and any order will do. On a rebuild or after an outage one topic can
run hours ahead of another, and a tick would fire a deadline whose closing event is on the log but
not read yet. So records are released in the order of (running maximum of append time in their
topic-partition, rank of the topic, offset), and a record is held back while a topic of which
nothing is at hand could still bring an earlier one: until a broker said that the other topic is at
its end (its last stable offset), asked after the answer that brought the record. The same answer
does not do: what it says of the other topic may be older than the record.

What the answers cannot tell: a record that its broker has stamped but not yet replicated, or whose
transaction is open, is beyond the end it reports; and clocks of several brokers differ. Such a
record may be released after later ones, as if it had come later.

Pure: no clock, no I/O. Append times are milliseconds since 1970-01-01T00:00Z; the times of requests
and answers are nanoseconds of the consumer's monotonic clock.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heapreplace
from typing import NamedTuple

from services.streaming.chunks import Chunk, TopicEnd
from services.streaming.interface import SourceRecord
from services.streaming.meta import Applied, Meta

SETTLE_NS = 1_000_000
"""Least time between an answer that brought a record and a question that confirms its place.

One unit of append time: what is appended after the question is then stamped later than the record,
not in the same millisecond, where the rank of its topic could put it first."""


class HoleError(Exception):
    """Records are missing between what was delivered and what came next (投递缺口)."""


class Consumed(NamedTuple):
    """What is no longer waiting: records of a topic, and the memory of chunks that are used up."""

    topic: str
    records: int
    freed: int


class _Source:
    """One topic's records at hand, in offset order, and what is known of its end."""

    __slots__ = (
        "applied_ms", "at_end_asked_ns", "chunks", "delivered", "horizon", "index", "rank",
        "released", "running_max_ms", "topic",
    )  # fmt: skip

    def __init__(self, topic: str, rank: int, applied: Applied | None) -> None:
        self.topic = topic
        self.rank = rank
        self.delivered = 0 if applied is None else applied.next_offset
        self.applied_ms = self.running_max_ms = 0 if applied is None else applied.append_time_ms
        self.chunks: deque[Chunk] = deque()
        self.index = 0
        self.released = 0
        self.at_end_asked_ns: int | None = None
        self.horizon: _SortKey | None = None

    def head_time(self) -> int:
        """Return the sort time of the first record at hand. There must be one."""
        append_time_ms = self.chunks[0].records[self.index].append_time_ms
        return max(self.running_max_ms, append_time_ms)


_SortKey = tuple[int, int]
"""Append time (running maximum) and rank; offsets need no place in it."""


class _Run(NamedTuple):
    """Records of one chunk in their final place: those from ``begin`` up to ``stop``."""

    source: _Source
    chunk: Chunk
    begin: int
    stop: int


class Merge:
    """The records of one partition between delivery and the unit of work.

    ``accept`` and ``note_end`` take what the consumer brought; ``peek`` and ``consume`` serve the
    unit of work. ``applied`` tells what was consumed: it goes into META.
    """

    def __init__(self, topics: Sequence[str], meta: Meta, settle_ns: int = SETTLE_NS) -> None:
        """Start at ``meta``'s position; ``topics`` in rank order (earlier first on equal times)."""
        self._sources = [_Source(t, rank, meta.applied.get(t)) for rank, t in enumerate(topics)]
        self._by_topic = {source.topic: source for source in self._sources}
        self._runs: deque[_Run] = deque()
        self._released = 0
        self._applied = dict(meta.applied)
        self._settle_ns = settle_ns

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
        return held + self._released

    @property
    def oldest_ms(self) -> int:
        """Append time of the next record at hand in merge order; 0 when nothing is at hand."""
        if self._runs:
            run = self._runs[0]
            return run.chunk.records[run.begin].append_time_ms
        return min((source.head_time() for source in self._sources if source.chunks), default=0)

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
        source.delivered = chunk.end
        source.at_end_asked_ns = None
        if chunk.records:
            source.chunks.append(chunk)

    def note_end(self, end: TopicEnd) -> None:
        """Learn whether a topic was at its end when the broker answered."""
        source = self._by_topic[end.topic]
        at_end = end.position == source.delivered and end.position >= end.stable_end
        source.at_end_asked_ns = end.asked_ns if at_end else None

    def ready(self) -> bool:
        """Tell whether there is a record that may be consumed."""
        self._release(1)
        return self._released > 0

    def peek(self, max_records: int, max_bytes: int) -> list[SourceRecord]:
        """Return the next records in merge order without consuming them; empty if all are held.

        At least one is returned if any is released, whatever its size.
        """
        self._release(max_records)
        taken: list[SourceRecord] = []
        size = 0
        for _, chunk, begin, stop in self._runs:
            some = chunk.records[begin : min(stop, begin + max_records - len(taken))]
            if size + chunk.size > max_bytes:
                return _within(taken, some, max_bytes - size)
            size += chunk.size
            taken += some
            if len(taken) >= max_records:
                break
        return taken

    def peek_topic(self, topic: str) -> list[SourceRecord]:
        """Return the next record of one topic alone, whatever the others hold; empty if none.

        For the time before the step can judge anything (no rule bundle): control records only.
        """
        if not self._runs:
            source = self._by_topic[topic]
            if not source.chunks:
                return []
            self._take_run(source, 1, None)
        run = self._runs[0]
        return [run.chunk.records[run.begin]] if run.source.topic == topic else []

    def consume(self, count: int) -> list[Consumed]:
        """Account for the first ``count`` records of the last peek; tell what they were."""
        consumed: list[Consumed] = []
        while count:
            source, chunk, begin, stop = self._runs.popleft()
            end = min(stop, begin + count)
            if end < stop:
                self._runs.appendleft(_Run(source, chunk, end, stop))
            records = chunk.records
            newest_ms = max(r.append_time_ms for r in records[begin:end])
            source.applied_ms = max(source.applied_ms, newest_ms)
            used_up = end == len(records)
            position = chunk.end if used_up else records[end - 1].offset + 1
            self._applied[source.topic] = Applied(position, source.applied_ms)
            source.released -= end - begin
            self._released -= end - begin
            count -= end - begin
            consumed.append(Consumed(source.topic, end - begin, chunk.held if used_up else 0))
        return consumed

    def _release(self, wanted: int) -> None:
        """Release up to ``wanted`` records in all, as far as nothing may sort before them."""
        while self._released < wanted:
            heads = [(s.head_time(), s.rank, s) for s in self._sources if s.chunks]
            for _, _, source in heads:
                source.horizon = self._horizon(source.chunks[0].answered_ns)
            heapify(heads)
            if not self._release_runs(heads, wanted):
                return

    def _horizon(self, answered_ns: int) -> _SortKey | None:
        """Return the least key a record still to come may have; None: it is behind every record.

        "Behind" is said of the records that were brought by an answer at ``answered_ns``: a topic
        of which nothing is at hand bounds them by its running maximum, unless it was found at its
        end by a request sent after that answer.
        """
        confirmed_ns = answered_ns + self._settle_ns
        return min(
            (
                (s.running_max_ms, s.rank)
                for s in self._sources
                if not s.chunks and (s.at_end_asked_ns is None or s.at_end_asked_ns < confirmed_ns)
            ),
            default=None,
        )

    def _release_runs(self, heads: list[tuple[int, int, _Source]], wanted: int) -> bool:
        """Release runs until a chunk is used up (True: look again) or nothing more may go (False).

        ``heads`` is a heap of the first records at hand; ranks differ, so sources never compare.
        """
        while heads:
            time_ms, rank, source = heads[0]
            horizon = source.horizon
            if horizon is not None and (time_ms, rank) >= horizon:
                return False
            bound = min((head[:2] for head in heads[1:3]), default=horizon)
            if horizon is not None and bound is not None:
                bound = min(bound, horizon)
            self._take_run(source, wanted - self._released, bound)
            if source.index == 0:
                return True
            if self._released >= wanted:
                return False
            heapreplace(heads, (source.head_time(), rank, source))
        return False

    def _take_run(self, source: _Source, limit: int, bound: _SortKey | None) -> None:
        """Release records of ``source``'s first chunk that sort before ``bound``, at most limit."""
        chunk, rank = source.chunks[0], source.rank
        records, begin, time_ms = chunk.records, source.index, source.running_max_ms
        index, stop = begin, min(len(records), begin + limit)
        while index < stop:
            sort_time = max(time_ms, records[index].append_time_ms)
            if bound is not None and (sort_time, rank) >= bound:
                break
            time_ms = sort_time
            index += 1
        self._runs.append(_Run(source, chunk, begin, index))
        self._released += index - begin
        source.released += index - begin
        source.index, source.running_max_ms = index, time_ms
        if index == len(records):
            source.chunks.popleft()
            source.index = 0


def _within(
    taken: list[SourceRecord], more: Sequence[SourceRecord], max_bytes: int
) -> list[SourceRecord]:
    """Add those of ``more`` that fit ``max_bytes``, and the first one if nothing was taken."""
    for record in more:
        max_bytes -= len(record.key or b"") + len(record.value or b"")
        if taken and max_bytes < 0:
            break
        taken.append(record)
    return taken
