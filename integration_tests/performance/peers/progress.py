"""What an engine under comparison tells of its run, in a file of its own; standard library only.

`tenth_ms`: when the fold had been given the first tenth of the events. `last_ms`: when it had been
given all of them. Both in milliseconds since 1970, of the machine's clock, which the broker's
append times share.
"""

import json
import threading
import time
from dataclasses import asdict, dataclass
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

    @property
    def marks_file(self) -> Path:
        """Where the engine writes its marks at its end."""
        return Path(self.directory) / "marks.json"

    @property
    def given_file(self) -> Path:
        """Where an engine that takes long says how far it is; for people, not for figures."""
        return Path(self.directory) / "given"

    def given(self) -> int:
        """Return how many records it says to have been given; 0 where it says nothing."""
        try:
            return int(self.given_file.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def encoded(self) -> str:
        """Return the command-line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, argument: str) -> "PeerArguments":
        """Read the command-line argument."""
        return cls(**json.loads(argument))


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
            self._write()
            self.all_given.set()

    def _write(self) -> None:
        partial = self._arguments.marks_file.with_suffix(".partial")
        partial.write_text(json.dumps({"tenth_ms": self._tenth_ms, "last_ms": _now_ms()}))
        partial.replace(self._arguments.marks_file)


def _now_ms() -> float:
    return time.time() * 1000
