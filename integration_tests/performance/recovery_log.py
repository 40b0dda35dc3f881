"""What a stream worker's log says of its recovery."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from integration_tests.performance.processes import WrongResultError
from services.local.system import LocalSystem
from services.local.waiting import poll_until

LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Recovery:
    """One recovery, from the assignment of the partitions until they were open."""

    fenced_s: float
    records: int
    restored_s: float
    """The changelog read to its end into the local stores."""
    open_s: float
    """All of it, fencing too."""
    opened_at_ms: float
    """When it was done."""


def recovery_in(log_file: Path) -> Recovery:
    """Return the one recovery that a worker's log tells of.

    Raises WrongResultError when it tells of none or of several.
    """
    lines = [_line(text) for text in log_file.read_text(encoding="utf-8").splitlines()]
    fenced = _only(lines, "partitions_fenced")
    restored = _only(lines, "partitions_restored")
    opened = _only(lines, "partitions_open")
    return Recovery(
        float(fenced["took_s"]),
        int(restored["records"]),
        float(restored["took_s"]),
        float(opened["took_s"]),
        datetime.fromisoformat(opened["timestamp"]).timestamp() * 1000,
    )


def recovery_of(system: LocalSystem, worker: str, seconds_max: float) -> Recovery:
    """Start a lifecycle worker that has no log yet, and return what its recovery came to.

    Raises WrongResultError when it ends, TimeoutError when it is not ready in time.
    """
    system.start(worker)

    def ready() -> bool:
        for exited in system.supervisor.check():
            raise WrongResultError(f"{exited.name} ended with {exited.exit_code}")
        return bool(system.worker_status(worker).get("ready", False))

    poll_until(
        ready,
        timeout_seconds=seconds_max,
        what=f"{worker} has recovered",
        interval_seconds=LOOK_SECONDS,
    )
    return recovery_in(system.process(worker).log_file)


def _line(text: str) -> dict[str, Any]:
    """Return a log line's fields; none for what the terminal library prints."""
    try:
        line: dict[str, Any] = json.loads(text[text.index("{") :])
    except ValueError:
        return {}
    return line


def _only(lines: Iterable[dict[str, Any]], event: str) -> dict[str, Any]:
    found = [line for line in lines if line.get("event") == event]
    if len(found) != 1:
        raise WrongResultError(f"the worker's log has {event} {len(found)} times instead of once")
    return found[0]
