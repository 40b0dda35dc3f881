"""Instructions per event of the pure step under callgrind: the gate against growing slower.

    python -m integration_tests.performance.step_instructions            compare with the record
    python -m integration_tests.performance.step_instructions --record   renew the record

What is run is `step_workload`: the last events of a synthetic city of two years, the same bytes
every time, with PYTHONHASHSEED=0. Instructions do not depend on the machine's load or clock, so the
gate is narrow. They do depend on the interpreter and on compiled packages: the file has a record
for each environment, and without one for this environment there is nothing to compare with, which
is an error and not a pass.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from integration_tests.performance.step_workload import COUNTED_WITHIN, EVENTS

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "benchmarks" / "instructions.json"
GROWTH_MAX = 1.05
SECONDS_MAX = 900
_COLLECTED = re.compile(r"Collected : (\d+)")


class Measured(NamedTuple):
    """What one run under callgrind counted."""

    instructions_per_event: int
    digest: str
    """SHA-256, hex, of all that the step wrote."""


class NotComparableError(Exception):
    """This machine cannot tell: no valgrind, or no record for its interpreter and packages."""


def environment() -> dict[str, str]:
    """What the count depends on besides this repository."""
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "protobuf": version("protobuf"),
        "cel": version("cel-expr-python"),
    }


def measure() -> Measured:
    """Run the workload under callgrind.

    Raises:
        NotComparableError: valgrind cannot be found on the path.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        message = "valgrind is not installed: apt-get install valgrind"
        raise NotComparableError(message)
    with tempfile.TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared"
        _run("integration_tests.performance.step_prepared", prepared)
        counted = _run(
            "integration_tests.performance.step_workload",
            prepared,
            valgrind,
            "--tool=callgrind",
            f"--toggle-collect={COUNTED_WITHIN}",
            f"--callgrind-out-file={prepared}.callgrind",
        )
    collected = _COLLECTED.search(counted.stderr)
    if collected is None:
        message = f"callgrind counted nothing: {counted.stderr[-2_000:]}"
        raise RuntimeError(message)
    events, digest, _microseconds = counted.stdout.split()
    return Measured(int(collected[1]) // int(events), digest)


def _run(module: str, prepared: Path, *under: str) -> subprocess.CompletedProcess[str]:
    command = [*under, sys.executable, "-m", module, str(prepared)]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,  # the output says why it failed
    )
    if run.returncode:
        message = f"{module} ended with {run.returncode}: {run.stderr[-2_000:]}"
        raise RuntimeError(message)
    return run


def recorded() -> dict[str, Any]:
    """Return the record for this environment.

    Raises:
        NotComparableError: there is none.
    """
    for record in _records():
        if record["environment"] == environment():
            return record
    message = (
        f"{RECORDS.name} has no record for {environment()}: add one on purpose with "
        "`make record-instructions`"
    )
    raise NotComparableError(message)


def _records() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(RECORDS.read_text()) if RECORDS.exists() else []
    return records


def record(measured: Measured) -> None:
    """Renew the record for this environment; the others stay."""
    others = [held for held in _records() if held["environment"] != environment()]
    new = {**measured._asdict(), "events": EVENTS, "environment": environment()}
    RECORDS.write_text(json.dumps([*others, new], indent=2) + "\n")


def compare(measured: Measured, known: dict[str, Any]) -> tuple[str, bool]:
    """Return what to say about a count against its record, and whether it may pass."""
    ratio = measured.instructions_per_event / known["instructions_per_event"]
    said = (
        f"pure step: {measured.instructions_per_event:,} instructions an event, {ratio:.4f} of the "
        f"recorded {known['instructions_per_event']:,} (at most {GROWTH_MAX})"
    )
    if measured.digest != known["digest"]:
        said += "; it writes something else than when it was recorded"
    if ratio > GROWTH_MAX:
        said += (
            "; make it cheaper, or renew the record on purpose with `make record-instructions` and "
            "say why in the commit"
        )
    return said, ratio <= GROWTH_MAX


def main() -> int:
    """Measure, then compare or record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="renew the record")
    arguments = parser.parse_args()
    try:
        known = None if arguments.record else recorded()
        measured = measure()
    except NotComparableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if known is None:
        record(measured)
        sys.stdout.write(f"recorded {measured.instructions_per_event:,} instructions an event\n")
        return 0
    said, passed = compare(measured, known)
    (sys.stdout if passed else sys.stderr).write(f"{said}\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
