"""Files go in through the real intakes: whatever is killed, every row is accounted for once."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.importing.endpoints import ENDPOINTS_VARIABLE
from services.importing.log_counts import count_log
from services.local.system import INTAKES, LocalSystem
from services.runtime.kafka_topics import ensure_topics

FIXTURES = Path(__file__).resolve().parent / "fixtures"
EXIT_OK = 0
EXIT_USAGE = 2
EXIT_REJECTED = 4
EXIT_UNKNOWN = 5
EXIT_INTERRUPTED = 130


@pytest.fixture(scope="module")
def system(kafka_bootstrap: str, session_directory: Path) -> Iterator[LocalSystem]:
    """Run the four intakes on topics of this module's own."""
    prefix = f"import-{uuid.uuid4().hex[:8]}."
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        ensure_topics(kafka_bootstrap)
        directory = session_directory / prefix.rstrip(".")
        directory.mkdir()
        running = LocalSystem(directory, kafka_bootstrap, redis_url="", prefix=prefix)
        stack.callback(running.stop)
        running.start(*INTAKES)
        endpoints = running.write_endpoints(running.wait_serving(INTAKES))
        patch.setenv(ENDPOINTS_VARIABLE, str(endpoints))
        yield running


def command(file: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of an import."""
    msctl = [sys.executable, "-m", "services.cli.main", "import", str(file)]
    return [*msctl, "--out", str(out), "--output", "json", *options]


def msctl(file: Path, out: Path, *options: str, code: int = EXIT_OK) -> dict[str, Any]:
    """Import a file; check the exit code and return the report."""
    done = subprocess.run(
        command(file, out, *options), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return report


def records(system: LocalSystem) -> dict[str, int]:
    """Return the number of records on each event topic; every one is a version of its own."""
    counts = count_log(system.kafka_bootstrap_servers)
    assert all(count.records == count.source_versions for count in counts.values())
    return {name: count.records for name, count in counts.items()}


def added(system: LocalSystem, before: dict[str, int]) -> dict[str, int]:
    """Return how many records each event topic got since then, where it got any."""
    counts = {name: count - before[name] for name, count in records(system).items()}
    return {name: count for name, count in counts.items() if count}


def inspections_file(path: Path, rows: int, *, first: int, every_bad: int) -> Path:
    """Write a file of foreign inspections; every so many is no event."""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            bad = number % every_bad == 0
            record = {
                "source_system": "toronto.dinesafe",
                "record_id": str(first + number),
                "entity_key": "nonsense" if bad else f"TOR-8{number % 97:06d}",
                "kind": "inspected",
                "occurred_at": "2010-01-04T12:00:00-05:00",
                "result": "pass",
                "detail": {"infractions": []},
                "industry": "Restaurant",
            }
            stream.write(json.dumps(record) + "\n")
    return path


def test_import_ended_at_random_rows_and_resumed_accounts_for_every_row_once(
    system: LocalSystem, tmp_path: Path
) -> None:
    """Kill -9 at any moment: rows = receipts + rejects, and the log holds each event once."""
    before = records(system)
    rows, every_bad = 6_000, 500
    file = inspections_file(tmp_path / "visits.jsonl", rows, first=800_000_000, every_bad=every_bad)
    options = ("--profile", "toronto-dinesafe", "--receipts", str(tmp_path / "receipts.jsonl"))
    checkpoint = tmp_path / "visits.jsonl.checkpoint.json"
    moments = random.Random(20_240_301)
    killed_midway = 0
    for ending in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            command(file, tmp_path, *options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        wait_for_progress(process, checkpoint, at_least=moments.randrange(1, 600))
        process.send_signal(ending)
        _, errors = process.communicate(timeout=60)
        if ending is signal.SIGINT and process.returncode != EXIT_REJECTED:
            assert process.returncode == EXIT_INTERRUPTED, errors
        killed_midway += 0 < settled(checkpoint) < rows
    assert killed_midway, "no kill fell between the first and the last row"

    report = msctl(file, tmp_path, *options, code=EXIT_REJECTED)
    bad = rows // every_bad
    assert (report["rows"], report["rejected"]) == (rows, bad)
    assert report["accepted"] == rows - bad
    assert report["resumed_at"] > 0
    assert added(system, before) == {"inspections": rows - bad}
    with (tmp_path / "visits.jsonl.rejects.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == bad
    written = (tmp_path / "receipts.jsonl").read_text(encoding="utf-8")
    receipts = [json.loads(line) for line in written.splitlines()]
    assert len({one["receipt"]["eventId"] for one in receipts}) == len(receipts) == rows - bad
    assert not checkpoint.exists()


def settled(checkpoint: Path) -> int:
    """Return how many rows a checkpoint says are settled; 0 without one."""
    if not checkpoint.exists():
        return 0
    return int(json.loads(checkpoint.read_text(encoding="utf-8"))["tally"]["settled"])


def wait_for_progress(
    process: "subprocess.Popen[bytes]", checkpoint: Path, *, at_least: int
) -> None:
    """Wait until so many more rows are settled, or the process has ended."""
    start = settled(checkpoint)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if settled(checkpoint) >= start + at_least:
            return
        time.sleep(0.02)


def test_import_of_the_same_file_again_adds_nothing_to_the_log(
    system: LocalSystem, tmp_path: Path
) -> None:
    """Full re-sends are normal: they give the same receipts and no record."""
    at_first = records(system)
    for file, profile in (
        ("toronto_dinesafe", "toronto-dinesafe"),
        ("chicago_food", "chicago-food"),
    ):
        options = ("--profile", profile, "--receipts")
        path = FIXTURES / f"{file}.jsonl"
        first, second = tmp_path / f"{file}.1", tmp_path / f"{file}.2"
        told = msctl(path, tmp_path, *options, str(first), code=EXIT_REJECTED)
        before = records(system)
        assert msctl(path, tmp_path, *options, str(second), code=EXIT_REJECTED) == told
        assert records(system) == before
        assert first.read_bytes() == second.read_bytes()
    assert added(system, at_first) == {
        "registration": 8,
        "inspections": 11,
        "complaints": 4,
        "penalties": 10,
    }


def test_rejects_mended_in_the_file_are_taken_by_the_same_command(
    system: LocalSystem, tmp_path: Path
) -> None:
    """Bad rows come back in the rejects file; mended there, they go in like the file itself."""
    before = records(system)
    file = FIXTURES / "registration_gb18030.csv"
    told = msctl(file, tmp_path, "--family", "registration", code=EXIT_REJECTED)
    assert (told["rows"], told["accepted"], told["rejected"]) == (7, 4, 3)
    rejects = Path(told["rejects_file"])
    with rejects.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["reject.row"] for row in rows] == ["6", "7", "8"]
    rows[0]["统一社会信用代码"] = rows[0]["统一社会信用代码"].replace("O", "0")
    rows[1]["发生时间"] = "2024-02-29"
    rows[1]["注册资本（元）"] = "100.12"
    with rejects.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)

    again = msctl(rejects, tmp_path, "--family", "registration", code=EXIT_REJECTED)
    assert (again["rows"], again["accepted"], again["rejected"]) == (3, 2, 1)
    assert added(system, before) == {"registration": 6}


@pytest.mark.usefixtures("system")
def test_rows_the_service_refuses_name_the_column_they_were_read_from(tmp_path: Path) -> None:
    """What only the service knows, such as a code not in force, comes back with its column."""
    with (FIXTURES / "registration_gb18030.csv").open(encoding="gb18030", newline="") as stream:
        rows = list(csv.DictReader(stream))[:2]
    rows[0]["行政区划"] = "999999"
    rows[1]["发生时间"] = "2199-01-01"
    file = tmp_path / "bad.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    msctl(file, tmp_path, "--family", "registration", code=EXIT_REJECTED)
    with (tmp_path / "bad.csv.rejects.csv").open(encoding="utf-8-sig", newline="") as stream:
        rejects = list(csv.DictReader(stream))
    assert [(row["reject.column"], row["reject.value"]) for row in rejects] == [
        ("行政区划", "999999"),
        ("发生时间", "2199-01-01"),
    ]
    assert all(row["reject.reason_zh"] and row["reject.reason_en"] for row in rejects)


def test_spreadsheet_goes_in_with_its_repaired_numbers(system: LocalSystem, tmp_path: Path) -> None:
    """A sheet with number and date cells is taken; what lost digits is refused."""
    before = records(system)
    told = msctl(
        FIXTURES / "inspections.xlsx", tmp_path, "--family", "inspections", code=EXIT_REJECTED
    )
    assert (told["rows"], told["accepted"], told["rejected"]) == (5, 3, 2)
    assert added(system, before) == {"inspections": 3}


def test_intake_killed_in_mid_import_loses_and_doubles_nothing(
    system: LocalSystem, tmp_path: Path
) -> None:
    """Unknown outcomes are sent again; staying unknown, they are told, and the import resumes."""
    before = records(system)
    rows = 4_000
    file = inspections_file(tmp_path / "visits.jsonl", rows, first=810_000_000, every_bad=rows)
    checkpoint = tmp_path / "visits.jsonl.checkpoint.json"
    options = ("--profile", "toronto-dinesafe")
    process = subprocess.Popen(
        command(file, tmp_path, *options, "--patience", "3"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for_progress(process, checkpoint, at_least=300)
    system.process("inspections").kill()
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        system.supervisor.stop("inspections")
        system.start("inspections")
        system.write_endpoints(system.wait_serving(INTAKES))
    assert process.returncode == EXIT_UNKNOWN, errors
    told = json.loads(output)
    assert told["unknown"] > 0
    assert told["accepted"] + told["rejected"] + told["unknown"] + told["not_sent"] == rows

    again = msctl(file, tmp_path, *options, code=EXIT_REJECTED)
    assert again["resumed_at"] == told["accepted"] + told["rejected"]
    assert (again["accepted"], again["rejected"]) == (rows - 1, 1)
    assert added(system, before) == {"inspections": rows - 1}


def test_import_without_an_address_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs: the command names the variable and the file it looked in."""
    monkeypatch.setenv(ENDPOINTS_VARIABLE, str(tmp_path / "none.json"))
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command(FIXTURES / "chicago_food.jsonl", tmp_path, "--profile", "chicago-food"),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode != EXIT_OK
    assert ENDPOINTS_VARIABLE in done.stderr


def test_import_with_a_profile_that_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    """A mistyped profile is told before anything is sent or written."""
    file = FIXTURES / "chicago_food.jsonl"
    msctl(file, tmp_path, "--profile", "chicago", code=EXIT_USAGE)
    assert list(tmp_path.iterdir()) == []
