"""How many brokers must hold a topic, and take a record before it counts as written.

A receipt says that a record is on the log for good. That is true as long as one broker that has the
record lives, so it is worth as much as the replicas of the topics.
"""

from dataclasses import dataclass

IN_SYNC_SETTING = "min.insync.replicas"
"""Topic setting: so many replicas must have a record before acks=all is answered."""


@dataclass(frozen=True, slots=True)
class Durability:
    """What topics must have at least; None is not checked and left to the broker (副本要求).

    Raises ValueError where no topic can have it.
    """

    replicas: int | None = None
    """Brokers that hold each partition."""
    in_sync_min: int | None = None
    """So many of them must have a record before it is acknowledged; not without ``replicas``."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.replicas is not None and self.replicas < 1:
            message = f"{self.replicas} replicas: at least 1 is needed (副本数至少为1)"
            raise ValueError(message)
        if self.in_sync_min is None:
            return
        if self.in_sync_min < 1:
            message = f"{IN_SYNC_SETTING} {self.in_sync_min}: at least 1 (最少同步副本数至少为1)"
            raise ValueError(message)
        if self.replicas is None:
            message = (
                f"{IN_SYNC_SETTING} {self.in_sync_min} without a number of replicas: give both "
                "(须同时指定副本数)"
            )
            raise ValueError(message)
        if self.in_sync_min > self.replicas:
            message = (
                f"{IN_SYNC_SETTING} {self.in_sync_min} with {self.replicas} replicas: no more can "
                "be in sync than there are (最少同步副本数不能多于副本数)"
            )
            raise ValueError(message)

    def settings(self) -> dict[str, str]:
        """Return the settings a topic is created with, beside the catalogue's."""
        return {} if self.in_sync_min is None else {IN_SYNC_SETTING: str(self.in_sync_min)}

    def shortfalls(self, replicas: int, in_sync_min: int) -> list[str]:
        """Return in words what a topic lacks; more than asked for is no shortfall."""
        found = []
        if self.replicas is not None and replicas < self.replicas:
            found.append(f"replicas is {replicas}, less than {self.replicas}")
        if self.in_sync_min is not None and in_sync_min < self.in_sync_min:
            found.append(f"{IN_SYNC_SETTING} is {in_sync_min}, less than {self.in_sync_min}")
        return found


BROKERS_DEFAULT = Durability()
"""Whatever the cluster gives: a single broker for trying things out has no more."""
