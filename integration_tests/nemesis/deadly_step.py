"""Run a stream worker with a bug: some perfectly valid events raise in it, or kill the process.

`python -m integration_tests.nemesis.deadly_step -- services.lifecycle`

A record is deadly by its source record id, which is on the log for everybody to see.
"""

import os
import signal
from collections.abc import Sequence
from typing import Any

from integration_tests.nemesis.wrapping import run_wrapped
from services.lifecycle.step import LifecycleStep
from services.streaming.interface import SourceRecord

RAISING = "deadly-raises"
KILLING = "deadly-kills"


class PlantedBugError(Exception):
    """The bug."""


def main() -> None:
    """Put the bug in and run the service."""
    run = LifecycleStep.run

    def patched(self: LifecycleStep, records: Sequence[SourceRecord], *rest: Any) -> Any:
        for record in records:
            if RAISING.encode() in (record.value or b""):
                raise PlantedBugError(record.offset)
            if KILLING.encode() in (record.value or b""):
                os.kill(os.getpid(), signal.SIGSEGV)
        return run(self, records, *rest)

    LifecycleStep.run = patched  # type: ignore[method-assign, assignment]
    run_wrapped()


if __name__ == "__main__":
    main()
