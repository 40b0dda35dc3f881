"""Run a process to its end and look at what it uses meanwhile."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from services.local.process import ManagedProcess

RUN_SECONDS_MAX = 420.0
LOOK_SECONDS = 0.05
LOG_TAIL_BYTES = 3_000


class WrongResultError(Exception):
    """Something ended otherwise than it should, or came to another result than the expected."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process had used at a moment."""

    at_ms: float
    cpu_s: float
    memory_bytes: int


def run_to_end(
    process: ManagedProcess,
    what: str,
    seconds_max: float = RUN_SECONDS_MAX,
    look: Callable[[], None] = lambda: None,
) -> list[Sample]:
    """Start a process, wait for it to end with 0, and return what was seen of it.

    ``look`` is called whenever a sample is taken.

    Raises WrongResultError with the end of its log.
    """
    process.start()
    samples: list[Sample] = []
    deadline = time.monotonic() + seconds_max
    try:
        while process.running():
            samples.append(sample(process.pid, samples))
            look()
            if time.monotonic() > deadline:
                raise WrongResultError(f"{what}: not done after {seconds_max:.0f} s")
            time.sleep(LOOK_SECONDS)
        if process.exit_code() != 0:
            tail = process.log_file.read_text(errors="replace")[-LOG_TAIL_BYTES:]
            raise WrongResultError(f"{what} ended with {process.exit_code()}:\n{tail}")
    finally:
        process.stop(0)
    return samples


def sample(pid: int, before: Sequence[Sample]) -> Sample:
    """Look at a process; when it ended since the last look, that look is returned."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        memory = process.memory_info().rss
    except psutil.Error:
        return before[-1] if before else Sample(0.0, 0.0, 0)
    return Sample(time.time() * 1000, times.user + times.system, memory)


def at_moment(samples: Sequence[Sample], moment_ms: float) -> float:
    """Return the processor seconds used by a moment, to within one sample."""
    return min(samples, key=lambda each: abs(each.at_ms - moment_ms)).cpu_s


def memory_mib(samples: Sequence[Sample]) -> float:
    """Return the highest resident size that was seen."""
    return max(each.memory_bytes for each in samples) / (1 << 20)
