"""What the engine promises to the business step of a partition, and what it asks of it.

The engine never calls two methods of one step at the same time, so a step needs no locks. It calls
``run`` and ``local_index`` of all steps from one thread that is not the event loop's; but while a
partition is recovered it calls ``local_index`` on the event loop, for a hundred records between
two turns of it, while another partition's step may run: nothing a step keeps may be bound to a
thread, what steps share must bear two, and ``local_index`` should take well
below a millisecond. It makes a new step through the factory whenever it (re)gains the partition,
and calls nothing but ``local_index`` before the local store is brought up to the changelog's end: a
step may keep caches, but never across assignments. An exception raised by any method ends the
process with ``ExitCode.STEP_FAILED`` after one log line, and nothing of that unit is visible to
anybody; what is wrong with one *record* (poison, conflicts) is therefore the step's to catch and to
write out as a dead letter. A record on which ``run`` raises all the same, or which kills the
process, is tried alone by the next processes, and after its third death ``refuse`` is asked instead
of ``run``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes], ...]

SourceHeaders = tuple[tuple[str, bytes | None], ...]
"""Headers as they were read: producers of others may write a name without a value."""

SCAN_LIMIT = 1_000
"""Entries a scan yields at most unless the caller names another bound."""


class SourceRecord(NamedTuple):
    """One record of a source topic, as the broker holds it.

    ``append_time_ms`` is the record's timestamp (LogAppendTime: when the broker took it), in
    milliseconds since 1970-01-01T00:00Z. It may step back within a topic when the broker's clock
    does; ``stream_time_ms`` never does.
    """

    topic: str
    partition: int
    offset: int
    append_time_ms: int
    key: bytes | None
    value: bytes | None
    headers: SourceHeaders


class SideRecord(NamedTuple):
    """A record for a topic beside the changelog: timeline, alerts, dead letters, links, control.

    It goes to the partition number of the unit, whatever its key hashes to. Records for one topic
    keep their order.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()


class ReadStore(Protocol):
    """The partition's local state: changelog records and the local-only keys derived from them."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under ``key``, or None. What this unit staged is seen first."""
        ...

    def scan(
        self,
        prefix: bytes,
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield at most ``limit`` entries whose key begins with ``prefix``, in byte order.

        ``start`` is the first key to consider, itself included (a key that lies before the prefix
        counts as its beginning); with ``reverse`` the order is descending and ``start`` is the
        highest key to consider. What this unit staged is included. Staging while a scan is being
        read does not change what that scan yields.
        """
        ...

    def stage(self, key: bytes, value: bytes) -> None:
        """Make a changelog write of this unit visible to ``get`` and ``scan`` before it ends.

        The local-only keys that ``local_index`` derives from it become visible too. Optional: a
        step that never reads back what it wrote need not stage. Whatever is staged must also stand
        in the returned ``UnitOutput.changelog`` with its final value; the engine checks that.
        """
        ...


@dataclass(slots=True)
class UnitOutput:
    """What one unit of work wants written; all of it is committed, or nothing.

    ``changelog``: keys and whole new values of the state; never a deletion; a key must not begin
    with a zero byte (those are the engine's own).
    ``side``: records for other topics, same partition number.
    ``local``: the local-only keys to put (or, with None, delete) that follow from ``changelog``,
    from a step that knows them anyway; together they must leave in the local store just what
    ``local_index`` would make of each record's old and new value, which the engine then does not
    ask. None: the engine derives them.
    ``taken``: how many of the given records, counted from the first, this output accounts for;
    None means all. The rest is given again, in the same order and first, with the next call. Use it
    to keep a unit small: a tick with thousands of due keys writes 500 of them and is *not* taken
    until none is left. ``taken=0`` must come with a changelog write, else the unit could never end.
    """

    changelog: dict[bytes, bytes] = field(default_factory=dict)
    side: list[SideRecord] = field(default_factory=list)
    taken: int | None = None
    local: dict[bytes, bytes | None] | None = None


class PartitionStep(Protocol):
    """The pure business step of one partition: no clock, no I/O, no randomness of its own."""

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold ``records`` and return what is to be written.

        The records come in append-time order across the partition's source topics (running maximum
        of append time, then the rank of the topic in the engine's list, then offset), each exactly
        once with regard to the state in ``store``. ``stream_time_ms`` is the stream time *before*
        the first of them: the highest append time of anything this partition ever applied (0 at the
        very beginning). The stream time at a record is the maximum of it and the append times up to
        that record. The unit's cut is arbitrary: the same records in other units must give the same
        state.
        """
        ...

    def refuse(self, record: SourceRecord, deaths: int, store: ReadStore) -> UnitOutput:
        """Return what puts ``record`` aside, without looking into it: its dead letter, its count.

        ``deaths`` processes ended while ``run`` had this record alone. The output accounts for the
        record; it is committed as any other.
        """
        ...

    def local_index(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """Return the local-only keys to put (or, with None, delete) when ``key`` becomes ``new``.

        Called for every changelog record while recovering, and live for those of an output without
        ``local``; written in the same WriteBatch. ``old`` is the copy in the local store. Recovery
        may skip intermediate versions (compaction), so the result of old→new must equal that of
        old→any→new, and it must depend on the arguments alone. A local-only key must not equal any
        changelog key, nor follow from two of them.
        """
        ...

    def holds(self, store: ReadStore) -> bool:
        """Return True while nothing but control records may be processed (no rule bundle yet).

        While it does, control records are given one a unit, and the other topics wait.
        """
        ...

    def tick(
        self, stream_time_ms: int, wall_ms: int, store: ReadStore
    ) -> tuple[bytes, bytes] | None:
        """Return a control record (key, value) to be appended to this partition, or None.

        Asked at most once per tick interval (30 s by default), never while ``holds``; the record is
        written in a transaction of the partition's own producer and comes back through ``run`` as
        any other. ``wall_ms`` is the machine's clock and must not enter the state by another way.
        """
        ...


StepFactory = Callable[[int], PartitionStep]
"""Makes the step of a partition number; called at every (re)assignment of it."""
