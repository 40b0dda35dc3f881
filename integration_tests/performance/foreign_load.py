"""How much of the machine others use: processor time that this run's processes did not take.

Foreign is user, nice, system and stolen time of the whole machine, less what this process and all
its descendants took. Interrupts are left out: those of our own network traffic are charged to
nobody. It is given as a share of one processor, not of all, which is the stricter reading.
"""

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

FOREIGN_SHARE_MAX = 0.5
BEFORE_SECONDS = 3.0
EVERY_SECONDS = 2.0
SECONDS_MIN = 0.5
"""Of less the kernel's ticks, a hundredth of a second each, tell nothing."""


class BusyMachineError(Exception):
    """Others use too much of the machine for a figure to mean anything."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds at a moment, of the machine and of this run."""

    at: float
    machine: float
    own: float

    @classmethod
    def now(cls) -> "Usage":
        """Look."""
        times = psutil.cpu_times()
        machine = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
        return cls(time.monotonic(), machine, _own_seconds())

    def foreign_since(self, before: "Usage") -> float:
        """Return others' share of one processor since a moment; 0 when that is just now."""
        seconds = self.at - before.at
        foreign = (self.machine - before.machine) - (self.own - before.own)
        return max(0.0, foreign / seconds) if seconds >= SECONDS_MIN else 0.0


def _own_seconds() -> float:
    """Processor seconds of this process and its descendants, ended and reaped ones too."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue  # gone between two looks: its time is its parent's now
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measure_before(seconds: float = BEFORE_SECONDS) -> float:
    """Return the foreign share over a short while in which this run does nothing."""
    before = Usage.now()
    time.sleep(seconds)
    return Usage.now().foreign_since(before)


def refuse_if_busy(share: float, when: str) -> None:
    """Raise BusyMachineError above the limit."""
    if share > FOREIGN_SHARE_MAX:
        raise BusyMachineError(
            f"others use {share:.0%} of a processor {when} the measurement, more than "
            f"{FOREIGN_SHARE_MAX:.0%}: no figure (机器负载过高，不予测量)"
        )


class LoadDuring:
    """Watches the foreign share while something is measured; `mean` and `peak` afterwards."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.peak = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        first = last = Usage.now()
        while not self._stop.wait(EVERY_SECONDS):
            now = Usage.now()
            self.peak = max(self.peak, now.foreign_since(last))
            last = now
        self.mean = Usage.now().foreign_since(first)
