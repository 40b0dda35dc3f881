"""The topics of an engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of an engine. ``sources`` in rank order, ``control`` among them.

    ``side``: further topics the step writes to. ``guarded``: those of them in which records must
    not stand before a partition has any state.
    """

    sources: tuple[str, ...]
    control: str
    changelog: str
    timeline: str
    side: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.control not in self.sources:
            raise ValueError(f"control topic {self.control} is not among the source topics")
        if len(set(self.sources)) != len(self.sources):
            raise ValueError(f"a source topic is named twice: {self.sources}")

    @property
    def written(self) -> tuple[str, ...]:
        """Every topic that a unit may write to."""
        return tuple(dict.fromkeys((self.changelog, self.timeline, self.control, *self.side)))

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic that must exist with the same partition count."""
        return tuple(dict.fromkeys((*self.sources, self.changelog, self.timeline, *self.side)))
