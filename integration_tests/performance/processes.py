"""Run processes to their end and look at what they use meanwhile."""

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
    """What a process, or several together, had used at a moment."""

    at_ms: float
    cpu_s: float
    memory_bytes: int


def run_to_end(
    processes: Sequence[ManagedProcess],
    what: str,
    seconds_max: float = RUN_SECONDS_MAX,
    look: Callable[[], None] = lambda: None,
) -> list[Sample]:
    """Start processes, wait for all to end with 0, and return what was seen of them together.

    ``look`` is called whenever a sample is taken.

    Raises WrongResultError with the end of its log.
    """
    samples: list[Sample] = []
    seen: list[list[Sample]] = [[] for _ in processes]
    deadline = time.monotonic() + seconds_max
    try:
        for process in processes:
            process.start()
        while any(process.running() for process in processes):
            for process, own in zip(processes, seen, strict=True):
                own.append(sample(process.pid, own))
            samples.append(_together([own[-1] for own in seen]))
            look()
            if time.monotonic() > deadline:
                raise WrongResultError(f"{what}: not done after {seconds_max:.0f} s")
            time.sleep(LOOK_SECONDS)
        for process in processes:
            _check_end(process, what)
    finally:
        for process in processes:
            process.stop(0)
    return samples


def _together(samples: Sequence[Sample]) -> Sample:
    return Sample(
        samples[0].at_ms,
        sum(each.cpu_s for each in samples),
        sum(each.memory_bytes for each in samples),
    )


def _check_end(process: ManagedProcess, what: str) -> None:
    if process.exit_code() != 0:
        tail = process.log_file.read_text(errors="replace")[-LOG_TAIL_BYTES:]
        raise WrongResultError(f"{what} ended with {process.exit_code()}:\n{tail}")


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
