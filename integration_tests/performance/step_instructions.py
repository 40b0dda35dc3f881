"""Instructions per event of the pure step under callgrind: the gate against growing slower.

    python -m integration_tests.performance.step_instructions            compare with the record
    python -m integration_tests.performance.step_instructions --record   renew the record

What is run is `step_workload`: the last events of a synthetic city of two years, the same bytes
every time, with PYTHONHASHSEED=0. Instructions do not depend on the machine's load or clock, so the
gate is narrow. They do depend on the interpreter and on compiled packages: the record names these,
and a difference is printed.
"""

import argparse
import json
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from market_supervision.control.v1.control_pb2 import ControlRecord

from integration_tests.performance.step_workload import (
    COUNTED_WITHIN,
    EVENTS,
    TOPICS,
    WARM_UP_RECORDS,
    Prepared,
    Worked,
)
from integration_tests.system.city_log import CONTROL, city_log
from services.contracts.bundles import build_bundle, read_files
from services.streaming.interface import SourceRecord

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "docs" / "benchmarks" / "instructions.json"
GROWTH_MAX = 1.05
ENTITIES = 400
SECONDS_MAX = 900
_COLLECTED = re.compile(r"Collected : (\d+)")


class Measured(NamedTuple):
    """What one run under callgrind counted."""

    instructions_per_event: int
    digest: str
    """SHA-256, hex, of all that the step wrote."""


class ValgrindMissingError(Exception):
    """There is no valgrind on this machine."""


def prepare() -> Prepared:
    """Work off the city's history, and return where it stands with the records of its end."""
    log = city_log(ENTITIES)
    bundle = ControlRecord(rule_bundle=build_bundle(read_files(), 1, log.city.clearing))
    records = [_record(CONTROL, 0, log.begins_ms - 1, b"c", bundle.SerializeToString(), ())]
    offsets: dict[str, int] = {CONTROL: 1}
    for written in log.records:
        if written.topic == CONTROL and written.partition != 0:
            continue  # all entities are put into one partition, which has one series of ticks
        offset = offsets.get(written.topic, 0)
        offsets[written.topic] = offset + 1
        records.append(
            _record(
                written.topic,
                offset,
                written.timestamp_ms,
                written.key,
                written.value,
                written.headers,
            )
        )
    events = 0
    end = len(records)
    while events < EVENTS:
        end -= 1
        events += records[end].topic != TOPICS.control
    end -= WARM_UP_RECORDS
    worked = Worked()
    worked.work(records[:end])
    store = worked.store
    return Prepared(store.committed, store.local, worked.stream_time_ms, tuple(records[end:]))


def _record(
    topic: str,
    offset: int,
    append_time_ms: int,
    key: bytes,
    value: bytes,
    headers: tuple[tuple[str, bytes], ...],
) -> SourceRecord:
    return SourceRecord(topic, 0, offset, append_time_ms, key, value, headers)


def measure(prepared: Path) -> Measured:
    """Run the workload under callgrind.

    Raises:
        ValgrindMissingError: it cannot be found on the path.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        message = "valgrind is not installed (apt-get install valgrind)"
        raise ValgrindMissingError(message)
    command = [
        valgrind,
        "--tool=callgrind",
        f"--toggle-collect={COUNTED_WITHIN}",
        f"--callgrind-out-file={prepared}.callgrind",
        sys.executable,
        "-m",
        "integration_tests.performance.step_workload",
        str(prepared),
    ]
    run = subprocess.run(  # noqa: PLW1510  the output says why it failed
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    collected = _COLLECTED.search(run.stderr)
    if run.returncode or collected is None:
        message = f"callgrind ended with {run.returncode}: {run.stderr[-2_000:]}"
        raise RuntimeError(message)
    events, digest, _microseconds = run.stdout.split()
    return Measured(int(collected[1]) // int(events), digest)


def environment() -> dict[str, str]:
    """What the count depends on besides this repository."""
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "protobuf": version("protobuf"),
        "cel": version("cel-expr-python"),
    }


def compare(measured: Measured, recorded: dict[str, object]) -> str | None:
    """Return what is wrong, None if nothing is. Prints the ratio, and what differs besides."""
    known = int(str(recorded["instructions_per_event"]))
    ratio = measured.instructions_per_event / known
    sys.stdout.write(
        f"pure step: {measured.instructions_per_event:,} instructions an event, "
        f"{ratio:.3f} of the recorded {known:,} (at most {GROWTH_MAX})\n"
    )
    if recorded["environment"] != environment():
        sys.stdout.write(f"recorded with {recorded['environment']}, now {environment()}\n")
    if recorded["digest"] != measured.digest:
        sys.stdout.write("the step writes something else than when it was recorded\n")
    if ratio > GROWTH_MAX:
        return (
            f"the step takes {ratio:.3f} times the recorded instructions: make it cheaper, or "
            "renew the record on purpose with `make record-instructions` and say why in the commit"
        )
    return None


def main() -> int:
    """Measure, then compare or record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="renew the recorded value")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        prepared = Path(directory) / "prepared"
        prepared.write_bytes(pickle.dumps(prepare()))
        measured = measure(prepared)
    if arguments.record:
        record = {**measured._asdict(), "events": EVENTS, "environment": environment()}
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
        sys.stdout.write(f"recorded {measured.instructions_per_event:,} instructions an event\n")
        return 0
    wrong = compare(measured, json.loads(RECORD.read_text()))
    if wrong is not None:
        sys.stderr.write(f"{wrong}\n")
    return wrong is not None


if __name__ == "__main__":
    sys.exit(main())
