"""What an engine under comparison tells of its run, in a file of its own; standard library only.

`tenth_ms`: when the fold had been given the first tenth of the events. `last_ms`: when it had been
given all of them. Both in milliseconds since 1970, of the machine's clock, which the broker's
append times share. Where several workers share the events, each tells when it was given how many.
"""

import json
import threading
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

from integration_tests.performance.peer_fold import REPORTED_PART


@dataclass(frozen=True, slots=True)
class PeerArguments:
    """What an engine is told: one JSON document as its only argument."""

    bootstrap: str
    topic: str
    records: int
    group: str
    directory: str
    control: str = ""
    """An empty topic of the same partition count, for the engine that asks for one."""
    changelog: str = ""
    timeline: str = ""
    worker: int = 0
    """Number of this process among those that share the events, from 0."""

    @property
    def marks_file(self) -> Path:
        """Where the engine writes its marks at its end."""
        return Path(self.directory) / "marks.json"

    @property
    def worker_directory(self) -> Path:
        """What belongs to this process alone: its log, its local stores."""
        return Path(self.directory) / f"worker-{self.worker}"

    @property
    def log_file(self) -> Path:
        """What this process says."""
        return self.worker_directory / "engine.log"

    @property
    def data_directory(self) -> Path:
        """The local stores of this process."""
        return self.worker_directory / "data"

    def tell_done(self, records: int) -> None:
        """Tell the others, and people, how many records this process has done."""
        partial = self.worker_directory / "done.partial"
        partial.write_text(str(records))
        partial.replace(self.worker_directory / "done")

    def done(self) -> int:
        """Return how many records all processes say to have done; 0 where they say nothing."""
        return sum(int(file.read_text()) for file in Path(self.directory).glob("worker-*/done"))

    def encoded(self) -> str:
        """Return the command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, argument: str) -> "PeerArguments":
        """Read the command-line argument."""
        return cls(**json.loads(argument))


def write_marks(arguments: PeerArguments, tenth_ms: float, last_ms: float) -> None:
    """Write the marks, whole or not at all."""
    partial = arguments.marks_file.with_suffix(".partial")
    partial.write_text(json.dumps({"tenth_ms": tenth_ms, "last_ms": last_ms}))
    partial.replace(arguments.marks_file)


class SharedProgress:
    """What one of several workers was given, and when; `merge` makes marks of all of it."""

    def __init__(self, arguments: PeerArguments) -> None:
        self._arguments = arguments
        self._given: list[tuple[float, int]] = []

    def add(self, events: int) -> None:
        """Note events that the fold was given."""
        self._given.append((_now_ms(), events))

    def close(self) -> None:
        """Write it down."""
        file = self._arguments.worker_directory / "given.json"
        file.write_text(json.dumps(self._given))

    @staticmethod
    def merge(arguments: PeerArguments) -> None:
        """Write the marks that follow from what all workers were given; none if it is too little.

        What is given twice, when a partition changed hands, counts twice: it cannot be told apart.
        """
        files = Path(arguments.directory).glob("worker-*/given.json")
        given = sorted((at, n) for file in files for at, n in json.loads(file.read_text()))
        sums = list(accumulate(n for _, n in given))
        if not sums or sums[-1] < arguments.records:
            return
        times = [at for at, _ in given]
        tenth = bisect_left(sums, arguments.records // REPORTED_PART)
        write_marks(arguments, times[tenth], times[bisect_left(sums, arguments.records)])


class Progress:
    """Counts what the fold was given and writes the marks; one caller at a time."""

    def __init__(self, arguments: PeerArguments) -> None:
        self._arguments = arguments
        self._tenth = arguments.records // REPORTED_PART
        self._given = 0
        self._tenth_ms = 0.0
        self.all_given = threading.Event()

    def add(self, events: int = 1) -> None:
        """Count events that the fold was given."""
        before, self._given = self._given, self._given + events
        if before < self._tenth <= self._given:
            self._tenth_ms = _now_ms()
        if before < self._arguments.records <= self._given:
            write_marks(self._arguments, self._tenth_ms, _now_ms())
            self.all_given.set()


def _now_ms() -> float:
    return time.time() * 1000
