"""When which fault strikes whom: a pure function of the row's plan and a seed.

The same seed gives the same schedule, on every machine; that is what makes a failing round
repeatable. Real processes do not run in lock step, so it repeats the blows, not the bruises.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strikes:
    """One kind of fault, several times: what is drawn for each is when, whom, and for how long."""

    fault: str
    """Name in the table of `faults`."""
    targets: tuple[str, ...] = ("",)
    """Processes to choose from; empty where the fault names its own."""
    count: int = 1
    gap_s: tuple[float, float] = (1.0, 3.0)
    """Least and greatest time between the end of the fault before and this one."""
    duration_s: tuple[float, float] = (0.0, 0.0)
    """Least and greatest time it lasts."""
    in_turn: bool = False
    """Each target in its turn instead of one drawn at random."""


@dataclass(frozen=True, slots=True)
class Act:
    """One fault of a schedule."""

    at_s: float
    """Seconds after the load began; later where the fault before takes longer than planned."""
    fault: str
    target: str
    duration_s: float

    def __str__(self) -> str:
        """One line of the printed schedule."""
        lasting = f" for {self.duration_s:.1f} s" if self.duration_s else ""
        return f"{self.at_s:6.1f} s  {self.fault} {self.target}{lasting}".rstrip()


def schedule(plan: Sequence[Strikes], row: str, seed: int) -> tuple[Act, ...]:
    """Draw the acts of a plan, one after the other; none begins before the one before has ended."""
    rng = random.Random(f"{row}/{seed}")
    acts: list[Act] = []
    now = 0.0
    for strikes in plan:
        for number in range(strikes.count):
            now += rng.uniform(*strikes.gap_s)
            drawn = rng.choice(strikes.targets)
            target = strikes.targets[number % len(strikes.targets)] if strikes.in_turn else drawn
            duration = rng.uniform(*strikes.duration_s)
            acts.append(Act(round(now, 3), strikes.fault, target, round(duration, 3)))
            now += duration
    return tuple(acts)
