"""Measure the rows of the benchmark and renew docs/benchmarks/latest.json and its tables.

    python -m integration_tests.performance.bench              the rows of a default run
    python -m integration_tests.performance.bench --row NAME   one row (or several)
    python -m integration_tests.performance.bench --missing    those without a valid figure
    python -m integration_tests.performance.bench --minutes 10 no row that would take longer
    python -m integration_tests.performance.bench --big        the rows that take long, too
    python -m integration_tests.performance.bench --prepare    write what the long rows measure with

A default run takes at most twenty minutes: rows that no longer fit are left for ``--missing``. Ends
with 0 when every row was run and reached what must be, 1 when one missed it or failed, 3 when the
machine was too busy, 4 when rows were left. ``--allow-load`` measures all the same and marks the
rows as not valid; ``--quick`` does so with a tenth of the load and one pair, ``--part N`` with an
N-th, only to see that rows work; their result is kept apart.
"""

import argparse
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from integration_tests.performance import machine, report
from integration_tests.performance.catalogue import BY_NAME, ROWS
from integration_tests.performance.foreign_load import FOREIGN_SHARE_MAX
from integration_tests.performance.kept import Kept, is_of
from integration_tests.performance.limit import Limit
from integration_tests.performance.row import Row, Verdict
from integration_tests.performance.run_row import BUSY, FAILED, prepare_row, run_row
from integration_tests.performance.session import Session
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory, remove_abandoned

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / ".run" / "bench"
LATEST = ROOT / "docs" / "benchmarks" / "latest.json"
QUICK_RESULT = BENCH / "quick.json"
PAGE = ROOT / "docs" / "benchmarks" / "README.md"
KEPT_FILE = "kept.json"
EXIT_BUSY, EXIT_LEFT = 3, 4
LEFT = "left"
DEFAULT_MINUTES = 20.0
QUICK_PART = 10


def main() -> int:
    """Run what was asked for."""
    # Servers and engines are ended on the way out, whoever ends the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    output = Path(arguments.output or (LATEST if arguments.part == 1 else QUICK_RESULT))
    rows = _wanted(arguments, report.read(output))
    limit = Limit(arguments.minutes)
    print(f"rows: {', '.join(row.name for row in rows)}", flush=True)  # noqa: T201
    results: list[str] = []
    for is_long in (False, True):
        some = [row for row in rows if row.is_long is is_long]
        if some:
            with _session(arguments, is_long=is_long) as session:
                results += _run(some, session, output, limit, only_prepare=arguments.prepare)
    if not arguments.prepare:
        _forget_what_is_measured(arguments, output)
        print(report.table(report.read(output)))  # noqa: T201
        print(f"\n{report.beside(report.read(output))}")  # noqa: T201
        print(report.of_other_code(report.read(output), machine.has_changed_since))  # noqa: T201
    if BUSY in results:
        return EXIT_BUSY
    if FAILED in results or Verdict.MISSED.value in results:
        return 1
    return EXIT_LEFT if LEFT in results else 0


def _run(
    rows: Sequence[Row], session: Session, output: Path, limit: Limit, *, only_prepare: bool
) -> Iterator[str]:
    for row in rows:
        os.environ[TOPIC_PREFIX_VARIABLE] = f"bench-{uuid.uuid4().hex[:8]}."
        if only_prepare:
            yield prepare_row(row, session)
            continue
        if not limit.has_room_for(row):
            print(f"{row.name}: left, about {row.minutes:g} min", flush=True)  # noqa: T201
            yield LEFT
            continue
        yield run_row(row, session, output)
        if output == LATEST and PAGE.exists():
            page = report.with_table(PAGE.read_text(encoding="utf-8"), report.read(output))
            PAGE.write_text(page, "utf-8")


@contextmanager
def _session(arguments: argparse.Namespace, *, is_long: bool) -> Iterator[Session]:
    """Yield a session that goes with its data, or for long rows one whose data stays."""
    foreign_max = float("inf") if arguments.allow_load else FOREIGN_SHARE_MAX
    if not is_long:
        runs = BENCH / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        remove_abandoned(runs)
        directory = runs / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with (
            owned_run_directory(directory),
            Session(directory / "session", arguments.part, foreign_max=foreign_max) as session,
        ):
            yield session
        shutil.rmtree(directory, ignore_errors=True)
        return
    directory, commit = _long_directory(arguments.part), machine.commit()
    with owned_run_directory(directory):
        data = directory / "session"
        if not is_of(data / KEPT_FILE, commit):
            shutil.rmtree(data, ignore_errors=True)
        data.mkdir(exist_ok=True)
        kept = Kept(data / KEPT_FILE, commit)
        with Session(data, arguments.part, kept, is_kept=True, foreign_max=foreign_max) as session:
            yield session


def _long_directory(part: int) -> Path:
    return BENCH / f"long-{part}"


def _forget_what_is_measured(arguments: argparse.Namespace, output: Path) -> None:
    """Remove the data of the long rows when each has its figure."""
    commit = machine.commit()
    done = {
        row["name"]
        for row in report.read(output)["rows"]
        if row["commit"] == commit and (row["valid"] or arguments.allow_load)
    }
    directory = _long_directory(arguments.part)
    if directory.exists() and all(row.name in done for row in ROWS if row.is_long):
        with owned_run_directory(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _wanted(arguments: argparse.Namespace, earlier: report.Document) -> list[Row]:
    if arguments.row:
        unknown = sorted(set(arguments.row) - set(BY_NAME))
        if unknown:
            sys.exit(f"no such row: {', '.join(unknown)}; there are: {', '.join(BY_NAME)}")
        rows = [BY_NAME[name] for name in arguments.row]
    elif arguments.prepare:
        rows = [row for row in ROWS if row.is_long]
    else:
        rows = [row for row in ROWS if row.by_default or arguments.big]
    if arguments.missing:
        valid = {row["name"] for row in earlier["rows"] if row["valid"]}
        rows = [row for row in rows if row.name not in valid]
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", action="append", default=[], help="measure this row only")
    parser.add_argument("--missing", action="store_true", help="only rows without a valid figure")
    parser.add_argument("--minutes", type=float, help="begin no row that would end later")
    parser.add_argument("--big", action="store_true", help="also the rows that take long")
    parser.add_argument("--prepare", action="store_true", help="write the logs of long rows only")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, not valid")
    parser.add_argument("--part", type=int, default=1, help="an N-th of the load, not valid")
    parser.add_argument("--output", help="where the result is kept")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.part = QUICK_PART
    arguments.allow_load |= arguments.part > 1
    if arguments.minutes is None:
        chosen = arguments.big or arguments.row or arguments.part > 1
        arguments.minutes = float("inf") if chosen else DEFAULT_MINUTES
    return arguments


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"{(time.monotonic() - began) / 60:.1f} min")  # noqa: T201
    sys.exit(code)
