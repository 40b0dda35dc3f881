"""Measure the rows of the benchmark and renew docs/benchmarks/latest.json and its table.

    python -m integration_tests.performance.bench              the rows of a default run
    python -m integration_tests.performance.bench --row NAME   one row (or several)
    python -m integration_tests.performance.bench --missing    the default rows not yet measured
    python -m integration_tests.performance.bench --big        the rows that take long, too

Ends with 0 when every row that was run reached what must be, 1 when one missed it or failed, 3 when
the machine was too busy. ``--allow-load`` measures all the same and marks the rows as not valid;
``--quick`` does so with a tenth of the load and one pair, only to see that rows work.
"""

import argparse
import os
import signal
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

from integration_tests.performance import foreign_load, machine, report
from integration_tests.performance.catalogue import BY_NAME, ROWS
from integration_tests.performance.row import Row, Verdict, document, run_pairs
from integration_tests.performance.session import Session
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory, remove_abandoned
from services.runtime.clock import utc_now

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / ".run" / "bench" / "runs"
LATEST = ROOT / "docs" / "benchmarks" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks" / "README.md"
BUSY = 3


def main() -> int:
    """Run what was asked for."""
    # Servers and engines are ended on the way out, whoever ends the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    output = Path(arguments.output)
    rows = _wanted(arguments, report.read(output))
    print(f"rows: {', '.join(row.name for row in rows)}", flush=True)  # noqa: T201
    results: list[str] = []
    RUNS.mkdir(parents=True, exist_ok=True)
    remove_abandoned(RUNS)
    directory = RUNS / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with owned_run_directory(directory), Session(directory / "session", arguments.quick) as session:
        for row in rows:
            os.environ[TOPIC_PREFIX_VARIABLE] = f"bench-{uuid.uuid4().hex[:8]}."
            results.append(
                _run_row(row, session, output, allow_load=arguments.allow_load or arguments.quick)
            )
    print(report.table(report.read(output)))  # noqa: T201
    if "busy" in results:
        return BUSY
    return int("failed" in results or Verdict.MISSED.value in results)


def _run_row(row: Row, session: Session, output: Path, *, allow_load: bool) -> str:
    """Measure one row and write it down at once; return its verdict, `busy` or `failed`."""
    before = foreign_load.measure_before()
    try:
        if not allow_load:
            foreign_load.refuse_if_busy(before, "before")
        with foreign_load.LoadDuring() as during:
            summary = run_pairs(row, session)
        if not allow_load:
            foreign_load.refuse_if_busy(during.mean, "during")
    except foreign_load.BusyMachineError as error:
        print(f"{row.name}: {error}", flush=True)  # noqa: T201
        return "busy"
    except Exception:  # noqa: BLE001  one row that cannot be measured does not stop the others
        print(f"{row.name}: FAILED\n{traceback.format_exc()}", flush=True)  # noqa: T201
        return "failed"
    measured: dict[str, Any] = document(row, summary) | {
        "date": utc_now().isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "load": {
            "before": round(before, 3),
            "during": round(during.mean, 3),
            "peak": round(during.peak, 3),
            "average": round(os.getloadavg()[0], 2),
        },
        "valid": not allow_load,
    }
    latest = report.merged(report.read(output), measured, ROWS) | {
        "machine": machine.machine(),
        "versions": machine.versions(),
        "date": measured["date"],
    }
    report.write(output, latest)
    if output == LATEST and PAGE.exists():
        PAGE.write_text(report.with_table(PAGE.read_text(encoding="utf-8"), latest), "utf-8")
    print(  # noqa: T201
        f"{row.name}: {summary.ratio:.3g} ({summary.low:.3g} to {summary.high:.3g}), "
        f"must {row.must}, goal {row.goal}: {measured['verdict']}; "
        f"others used {during.mean:.0%} of a processor",
        flush=True,
    )
    return str(measured["verdict"])


def _wanted(arguments: argparse.Namespace, earlier: report.Document) -> list[Row]:
    if arguments.row:
        unknown = sorted(set(arguments.row) - set(BY_NAME))
        if unknown:
            sys.exit(f"no such row: {', '.join(unknown)}; there are: {', '.join(BY_NAME)}")
        return [BY_NAME[name] for name in arguments.row]
    rows = [row for row in ROWS if row.by_default or arguments.big]
    if arguments.missing:
        valid = {row["name"] for row in earlier["rows"] if row["valid"]}
        rows = [row for row in rows if row.name not in valid]
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", action="append", default=[], help="measure this row only")
    parser.add_argument("--missing", action="store_true", help="only rows without a valid figure")
    parser.add_argument("--big", action="store_true", help="also the rows that take long")
    parser.add_argument("--allow-load", action="store_true", help="measure on a busy machine")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, not valid")
    parser.add_argument("--output", default=str(LATEST), help="where the result is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
