"""Measure one row under watch of the machine's load, and write it down at once."""

import math
import os
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

from integration_tests.performance import foreign_load, machine, report
from integration_tests.performance.catalogue import ROWS
from integration_tests.performance.row import FOREIGN, Row, Summary, document, run_pairs
from integration_tests.performance.session import Session
from services.runtime.clock import utc_now

BUSY, FAILED, PREPARED = "busy", "failed", "prepared"


class NoRoomError(Exception):
    """The disk has less room than the row may need."""


def run_row(row: Row, session: Session, output: Path) -> str:
    """Measure one row and write it down at once; return its verdict, `busy` or `failed`."""
    is_valid = math.isfinite(session.foreign_max)
    # Of the tree as it is at the start: what runs was read from that one.
    provenance = machine.provenance()
    began = time.monotonic()
    try:
        _demand_room(row, session)
        if row.prepare is not None:
            row.prepare(session)
        before = foreign_load.measure_before()
        _refuse(before, session, "before")
        with foreign_load.LoadDuring() as during:
            summary = run_pairs(row, session)
        foreign = foreign_of(summary)
        _refuse(foreign, session, "during")
    except foreign_load.BusyMachineError as error:
        print(f"{row.name}: {error}", flush=True)  # noqa: T201
        return BUSY
    except Exception:  # noqa: BLE001  one row that cannot be measured does not stop the others
        print(f"{row.name}: FAILED\n{traceback.format_exc()}", flush=True)  # noqa: T201
        return FAILED
    measured: dict[str, Any] = document(row, summary) | {
        "date": utc_now().isoformat(timespec="seconds"),
        "took_minutes": round((time.monotonic() - began) / 60, 1),
        **provenance,
        "load": {
            "before": round(before, 3),
            "during": round(foreign, 3),
            "peak": round(during.peak, 3),
            "average": round(os.getloadavg()[0], 2),
        },
        "valid": is_valid,
    }
    report.write(output, report.merged(report.read(output), measured, ROWS))
    print(  # noqa: T201
        f"{row.name}: {summary.ratio:.3g} ({summary.low:.3g} to {summary.high:.3g}), "
        f"must {row.must}, goal {row.goal}: {measured['verdict']}; "
        f"others used {foreign:.0%} of a processor; {measured['took_minutes']} min",
        flush=True,
    )
    return str(measured["verdict"])


def prepare_row(row: Row, session: Session) -> str:
    """Write what a long row measures with; return `prepared` or `failed`."""
    try:
        _demand_room(row, session)
        if row.prepare is not None:
            row.prepare(session)
    except Exception:  # noqa: BLE001  as above
        print(f"{row.name}: FAILED\n{traceback.format_exc()}", flush=True)  # noqa: T201
        return FAILED
    print(f"{row.name}: prepared", flush=True)  # noqa: T201
    return PREPARED


def foreign_of(summary: Summary) -> float:
    """Return the highest load under which a figure came about: no quiet pair hides a busy one."""
    return max(float(figure.details[FOREIGN]) for pair in summary.pairs for figure in pair)


def _refuse(share: float, session: Session, when: str) -> None:
    if share > session.foreign_max:
        foreign_load.refuse_if_busy(share, when)


def _demand_room(row: Row, session: Session) -> None:
    free = shutil.disk_usage(session.directory).free / (1 << 30)
    if free < row.disk_gib:
        raise NoRoomError(f"{free:.0f} GiB are free on disk, {row.name} may need {row.disk_gib}")
