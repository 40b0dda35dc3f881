"""What a worker shows of itself: plain numbers, read by the shell for health and metrics."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.streaming.meta import Applied


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
    records: int = 0
    unit_s: float = 0.0
    step_s: float = 0.0

    def lag(self, topic: str) -> int:
        """Return how many offsets of ``topic`` are known to exist and not applied yet."""
        applied = self.applied.get(topic)
        return max(0, self.ends.get(topic, 0) - (0 if applied is None else applied.next_offset))


@dataclass(slots=True)
class EngineHealth:
    """The worker as a whole; ``partitions`` holds what it owns now."""

    started: bool = False
    assigned: bool = False
    generation: int = -1
    rebalances: int = 0
    restored_records: int = 0
    partitions: dict[int, PartitionHealth] = field(default_factory=dict)
    loop_alive: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        """True when every owned partition is restored and open (owning none is ready too)."""
        return self.assigned and all(p.ready for p in self.partitions.values())

    @property
    def records(self) -> int:
        """Records taken since this assignment, over all owned partitions."""
        return sum(p.records for p in self.partitions.values())
