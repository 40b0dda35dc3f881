"""Running worlds one after another, and telling how to see a broken one again."""

import traceback
from collections import Counter as Multiset
from collections.abc import Iterable
from dataclasses import dataclass, field

from integration_tests.simulation.broker import ENGINE_TOPICS, PARTITIONS
from integration_tests.simulation.invariants import broken_promises
from integration_tests.simulation.limits import applied
from integration_tests.simulation.world import World

AGAIN = "python -m integration_tests.simulation --seed {seed}"


@dataclass(slots=True)
class Progress:
    """What happened in the worlds so far."""

    wanted: int
    worlds: int = 0
    counts: Multiset[str] = field(default_factory=Multiset)

    def note(self, world: World) -> None:
        """Count what a world held."""
        self.worlds += 1
        for number in range(PARTITIONS):
            for topic in (*ENGINE_TOPICS.sources, *ENGINE_TOPICS.side):
                name = "events" if topic in ENGINE_TOPICS.sources[1:] else topic[2:]
                self.counts[name] += len(world.broker.log(topic, number).records)
        self.counts.update(world.happened)

    def summary(self) -> str:
        """One line for a person."""
        counted = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return f"{self.worlds} of {self.wanted} worlds: {counted}"


def run_seed(seed: int, progress: Progress | None = None) -> list[str]:
    """Let one world happen; return what is broken in it, first how to see it again."""
    world = World(seed)
    try:
        with applied(world.limits):
            world.run()
            broken = broken_promises(world)
    except Exception:  # noqa: BLE001 - whatever stops the engine is a broken promise
        broken = [traceback.format_exc()]
    if progress is not None:
        progress.note(world)
    again = AGAIN.format(seed=seed)
    return [f"seed {seed} is broken; again: {again}", *broken] if broken else []


def run_seeds(seeds: Iterable[int], progress: Progress) -> list[int]:
    """Let many worlds happen; print what is broken and return those seeds."""
    failed = []
    for seed in seeds:
        broken = run_seed(seed, progress)
        if broken:
            failed.append(seed)
            print("\n  ".join(broken))
    return failed
