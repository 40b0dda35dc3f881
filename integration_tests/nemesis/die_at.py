"""Run a stream worker that is killed at an exact point of its units of work.

`python -m integration_tests.nemesis.die_at SEED DEATHS FILE -- services.lifecycle`

The hooks are put into the classes of this process only. The lives of the worker take turns at them,
until it has died DEATHS times; FILE counts the lives. After how many units a life ends is drawn
from the seed.
"""

import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from integration_tests.nemesis.wrapping import begin_life, run_wrapped
from services.lifecycle.step import LifecycleStep
from services.streaming.store import PartitionStore
from services.streaming.unit_of_work import PartitionProducer

UNITS = (2, 12)

Commit = Callable[[], Awaitable[None]]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def folded(units: int) -> None:
    """Die after the step of a unit returned: nothing of it was sent."""
    run = LifecycleStep.run
    left = [units]

    def patched(self: LifecycleStep, records: Sequence[Any], *rest: Any) -> Any:
        output = run(self, records, *rest)
        left[0] -= bool(records)
        if left[0] <= 0:
            _die()
        return output

    LifecycleStep.run = patched  # type: ignore[method-assign, assignment]


def acknowledged(units: int) -> None:
    """Die when everything of a unit is acknowledged and the commit is about to be asked for."""
    left = [units]

    def around(commit: Commit) -> Commit:
        async def patched() -> None:
            left[0] -= 1
            if left[0] <= 0:
                _die()
            await commit()

        return patched

    _patch_commits(around)


def committed(units: int) -> None:
    """Die when a unit is committed, before the local store is told of it."""
    apply = PartitionStore.apply
    left = [units]

    def around(commit: Commit) -> Commit:
        async def patched() -> None:
            await commit()
            left[0] -= 1

        return patched

    def patched(self: PartitionStore, *arguments: Any, **named: Any) -> None:
        if left[0] <= 0:
            _die()
        apply(self, *arguments, **named)

    _patch_commits(around)
    PartitionStore.apply = patched  # type: ignore[method-assign]


def _patch_commits(around: Callable[[Commit], Commit]) -> None:
    """Patch the producer of each partition when it has started: its class is guarded by a hash."""
    fence = PartitionProducer.fence

    async def patched(self: PartitionProducer) -> None:
        await fence(self)
        self._producer.commit_transaction = around(self._producer.commit_transaction)

    PartitionProducer.fence = patched  # type: ignore[method-assign]


HOOKS: tuple[Callable[[int], None], ...] = (folded, acknowledged, committed)


def main() -> None:
    """Put the hook of this life in and run the service."""
    seed, deaths, file = sys.argv[1:4]
    life = begin_life(Path(file))
    if life < int(deaths):
        units = random.Random(f"{seed}/{life}").randint(*UNITS)
        HOOKS[life % len(HOOKS)](units)
    run_wrapped()


if __name__ == "__main__":
    main()
