"""The programs of the how-to pages, run as they stand there against a real system."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from market_supervision.alerts.v1.alert_pb2 import SEVERITY_ORANGE

from integration_tests.system.support import (
    ALL_DAYS,
    alert_records,
    publish_rules,
    submit,
    wait_folded,
)
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until

PAGES = Path(__file__).resolve().parents[1] / "docs" / "how-to"
CHECKPOINT_VARIABLE = "MARKET_SUPERVISION_PROFILES__WATCH__CHECKPOINT_SECONDS"
CURSORS_MIN = 3
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(
    kafka_bootstrap: str, redis_url: str, fresh_topics: Callable[..., str], run_directory: Path
) -> Iterator[Path]:
    """The folder of somebody who reads the pages while a system with open alerts is up."""
    prefix = fresh_topics()
    publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS)
    folder = run_directory / "reader"
    with owned_run_directory(folder / ".run"):
        often = {CHECKPOINT_VARIABLE: "1"}
        system = LocalSystem(folder / ".run", kafka_bootstrap, redis_url, prefix, often)
        try:
            system.start("lifecycle-0", *INTAKES, "projection", "profiles")
            addresses = system.wait_serving()
            system.write_endpoints(addresses)
            events = [load_example(family.name, arm) for family in FAMILIES for arm in family.arms]
            submit(addresses, *events)
            wait_folded(kafka_bootstrap)
            yield folder
        finally:
            system.stop()


def program(page: str, folder: Path) -> list[str]:
    """Write the Python blocks of a page as one program; return its command."""
    blocks = PYTHON_BLOCK.findall((PAGES / page).read_text(encoding="utf-8"))
    file = folder / page.replace(".md", ".py")
    file.write_text("\n".join(blocks), encoding="utf-8")
    return [sys.executable, file.name]


def follow(command: list[str], folder: Path, log: str, alerts: int) -> str:
    """Run an endless subscriber until it printed ``alerts`` and then stored three cursors; kill it.

    The cursors after the last alert are those of checkpoints: nothing is half done then.
    """
    printed, cursor = folder / log, folder / "alerts.cursor"
    stored: set[int] = set()

    def done() -> bool:
        if printed.read_text("utf-8").count("ALERT_") >= alerts and cursor.exists():
            stored.add(cursor.stat().st_mtime_ns)
        return len(stored) > CURSORS_MIN

    with printed.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            poll_until(
                lambda: process.poll() is not None or done(),
                timeout_seconds=120,
                what=f"{alerts} alerts are printed",
            )
        finally:
            process.kill()
            process.wait()
    return printed.read_text("utf-8")


def test_programs_of_the_pages_do_what_the_pages_say(reader: Path, kafka_bootstrap: str) -> None:
    """The client ends without error; the subscriber gets each wanted alert once, killed or not."""
    client = subprocess.run(
        program("write-a-client.md", reader),
        cwd=reader,
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == 0, client.stderr
    assert "ENTITY_KEY_INVALID" in client.stdout
    assert "profiles SERVING" in client.stdout

    wanted = [
        record
        for record in alert_records(kafka_bootstrap)
        if record.alert.severity >= SEVERITY_ORANGE
        and record.alert.division.code.startswith("4420")
    ]
    assert wanted
    subscriber = program("consume-alerts.md", reader)
    first = follow(subscriber, reader, "first.log", len(wanted))
    assert first.count("ALERT_") == len(wanted), first
    assert "ALERT_" not in follow(subscriber, reader, "again.log", 0)
