"""What a worker shows of itself: plain numbers, read by the shell for health and metrics.

Written by the event loop, read by any thread at any time: a reader sees every number as it was a
moment ago, never all of them of one moment. Nothing here is touched per record, only per unit.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.runtime.histogram import Histogram
from services.streaming.meta import Applied

PHASES = ("wait", "step", "prepare", "commit", "local")
"""Where a unit's time goes: waiting for its turn, the thread for steps and the loop; the business
step; deriving local keys; the transaction; the write to RocksDB."""

UNIT_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the buckets of unit times; an idle unit takes 3 ms, one of 500 records 100."""


@dataclass(slots=True)
class PartitionTotals:
    """Counts of one partition over all its assignments to this process: they never go back."""

    units: int = 0
    records: int = 0
    written: dict[str, int] = field(default_factory=dict)
    """Records of committed units by topic, META included."""
    phases: dict[str, Histogram] = field(
        default_factory=lambda: {phase: Histogram(UNIT_SECONDS_BOUNDS) for phase in PHASES}
    )

    def wrote(self, topic: str, records: int) -> None:
        """Count records of a committed transaction."""
        self.written[topic] = self.written.get(topic, 0) + records


@dataclass(slots=True)
class RestoreProgress:
    """How far the changelog is read into the local store, in offsets; ``records``: those written.

    Of a compacted topic fewer records than offsets are there, so only offsets tell how much is
    left.
    """

    first: int = 0
    position: int = 0
    end: int = 0
    records: int = 0
    published_left: int = 0
    """Offsets of guarded topics that a rebuild has yet to read before it may begin."""

    @property
    def left(self) -> int:
        """Offsets to read before the partition can open."""
        return max(0, self.end - self.position) + self.published_left


@dataclass(slots=True)
class PartitionHealth:
    """One owned partition; ``unit_s`` and ``step_s`` are the seconds of the last unit and step."""

    ready: bool = False
    unit: int = 0
    stream_time_ms: int = 0
    applied: Mapping[str, Applied] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    waiting_records: int = 0
    holding: bool = False
    following: bool = False
    """A shadow that waits for the running version to go further (see `succession`): not behind."""
    shadow: bool = False
    """It builds the next version of the state beside the running one, and publishes nothing."""
    records: int = 0
    unit_s: float = 0.0
    step_s: float = 0.0
    oldest_ms: int = 0
    """Append time of the next record at hand that is not applied; 0: nothing is at hand."""
    in_flight: bool = False
    """A unit is being worked on; it ends, or the process does."""
    behind_s: float = 0.0
    """Seconds the oldest known record that is not applied has waited since it was appended; since
    it was first seen on the broker, where it is not fetched yet."""
    progress_at: float = field(default_factory=time.monotonic)
    """Machine's monotonic seconds when the last unit was committed, or the partition was made."""
    restore: RestoreProgress = field(default_factory=RestoreProgress)
    totals: PartitionTotals = field(default_factory=PartitionTotals)

    def lag(self, topic: str) -> int:
        """Return how many offsets of ``topic`` are known to exist and not applied yet."""
        applied = self.applied.get(topic)
        return max(0, self.ends.get(topic, 0) - (0 if applied is None else applied.next_offset))


class WorkerState(StrEnum):
    """What a worker as a whole is doing (工作进程状态)."""

    STARTING = "starting"
    """It was assigned nothing yet: no broker, no topics, or the group is still forming."""
    REBALANCING = "rebalancing"
    """It gave its partitions back and waits for the group's next assignment."""
    RECOVERING = "recovering"
    """It fences its partitions and reads their state; some may work already."""
    STANDBY = "standby"
    """It owns nothing, because there are more workers than partitions."""
    WORKING = "working"
    """Every partition it owns is open."""


@dataclass(slots=True)
class EngineHealth:
    """The worker as a whole; ``partitions`` holds what it owns now."""

    started: bool = False
    assigned: bool = False
    generation: int = -1
    rebalances: int = 0
    takeovers: int = 0
    """Partitions this process has fenced for itself, over all assignments."""
    fenced: int = 0
    """Partitions whose earlier owners the present, or last, recovery has fenced."""
    restored_records: int = 0
    """Records of the changelog read in the present, or last, recovery."""
    partitions: dict[int, PartitionHealth] = field(default_factory=dict)
    totals: dict[int, PartitionTotals] = field(default_factory=dict)
    recovering: bool = False
    brokers_away: bool = False
    """No broker answered when one was last asked: while the worker waits for the group or recovers,
    and when nothing is heard of what is open. What stands still then is no fault of its own."""
    loop_alive: float = field(default_factory=time.monotonic)
    answered_at: float | None = None
    """Machine's monotonic seconds when a broker last answered about the topic-partition that has
    waited longest for an answer; None while no partition is open."""
    answer_age_max_s: float = 30.0

    def own(self, partitions: Mapping[int, PartitionHealth]) -> None:
        """Show other partitions from now on; their counts go on where this process left off."""
        for number, partition in partitions.items():
            partition.totals = self.totals.setdefault(number, partition.totals)
        self.partitions = dict(partitions)

    @property
    def open(self) -> bool:
        """True when every owned partition is restored and open (owning none is that too)."""
        return self.assigned and all(p.ready for p in list(self.partitions.values()))

    @property
    def answer_age_s(self) -> float:
        """Seconds since ``answered_at``; 0 while no partition is open."""
        answered_at = self.answered_at
        return 0.0 if answered_at is None else max(0.0, time.monotonic() - answered_at)

    @property
    def ready(self) -> bool:
        """True when it is open and the brokers answer: without them it knows of no new records."""
        return self.open and self.answer_age_s <= self.answer_age_max_s

    @property
    def waits_for_group(self) -> bool:
        """True when what it was assigned, if only to stand by, is revoked, and nothing came yet."""
        return bool(self.rebalances) and not self.assigned and not self.recovering

    @property
    def state(self) -> WorkerState:
        """What the worker is doing."""
        if self.open:
            return WorkerState.WORKING if self.partitions else WorkerState.STANDBY
        if self.recovering:
            return WorkerState.RECOVERING
        return WorkerState.REBALANCING if self.rebalances else WorkerState.STARTING

    @property
    def records(self) -> int:
        """Records taken since this assignment, over all owned partitions."""
        return sum(p.records for p in self.partitions.values())
