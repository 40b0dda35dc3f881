"""What this worker owns at the moment, shared by delivery and rebalance."""

from dataclasses import dataclass, field

from services.streaming.partition import Partition


@dataclass(slots=True)
class Roster:
    """The owned partitions, and the epoch and assignment they belong to.

    ``assignment`` is the consumer's assignment object itself: as long as it is the same object, the
    fetch positions of open partitions are those this engine has set. ``epoch`` grows with every
    change.
    """

    epoch: int = 0
    assignment: object | None = None
    partitions: dict[int, Partition] = field(default_factory=dict)

    def open_partitions(self) -> dict[int, Partition]:
        """Return the partitions that may be polled."""
        return {number: p for number, p in self.partitions.items() if p.is_open}
