"""`make run` as a person meets it: an alert, a crash, another run, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.local.environment import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.ports import is_free
from services.local.process import ProcessIdentity, end_orphans
from services.local.waiting import poll_until

ALERT_SECONDS = 180.0
END_SECONDS = 240.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run folder; whatever a failed test leaves running in it is ended."""
    yield tmp_path
    end_orphans(tmp_path)


def _start(folder: Path, name: str, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the demonstration with servers of its own, its output in a file."""
    given = {KAFKA_VARIABLE, REDIS_VARIABLE}
    environment = {key: value for key, value in os.environ.items() if key not in given}
    output = folder / name
    command = [sys.executable, "-m", "services.demo", "--folder", str(folder), "--pace", "60"]
    command += ["--entities", "100", *options]
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    return process, output


def _wait_for(text: str, process: subprocess.Popen[bytes], output: Path) -> None:
    def said_or_ended() -> bool:
        return text in output.read_text(encoding="utf-8") or process.poll() is not None

    poll_until(said_or_ended, timeout_seconds=ALERT_SECONDS, what=text)
    assert text in output.read_text(encoding="utf-8"), output.read_text(encoding="utf-8")


def _alive(folder: Path) -> list[int]:
    """Return the processes that pid files below the folder name and that still run."""
    named = (ProcessIdentity.read(file) for file in folder.rglob("*.pid"))
    return [identity.pid for identity in named if identity is not None and identity.alive()]


def _ports(folder: Path) -> list[int]:
    return [
        port
        for file in folder.rglob("ports.json")
        for port in json.loads(file.read_text(encoding="utf-8")).values()
    ]


def test_demo_killed_is_cleaned_up_and_continued(folder: Path) -> None:
    """A run killed with -9 leaves processes; the next ends them, goes on, and leaves nothing."""
    first, output = _start(folder, "first.txt")
    _wait_for("ALERT raised", first, output)
    assert (folder / "endpoints.json").exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    position = json.loads((folder / "demo" / "city.json").read_text())["delivered"]
    assert position > 0
    assert _alive(folder), "kill -9 of the parent should leave its children"

    second, output = _start(folder, "second.txt", "--no-stay")
    assert second.wait(END_SECONDS) == 0, output.read_text(encoding="utf-8")
    said = output.read_text(encoding="utf-8")
    assert "Ended what an earlier run left" in said
    assert "[1/2" not in said, "the past is not loaded twice"
    assert "Everything is stopped" in said
    assert json.loads((folder / "demo" / "city.json").read_text())["delivered"] > position
    assert _alive(folder) == []
    assert all(is_free(port) for port in _ports(folder))
    assert not (folder / "endpoints.json").exists()


def test_demo_interrupted_while_starting_leaves_nothing(folder: Path) -> None:
    """Ctrl-C in the middle of the start ends what was started so far."""
    process, output = _start(folder, "interrupted.txt")
    poll_until(lambda: _alive(folder), timeout_seconds=ALERT_SECONDS, what="a process is started")
    process.send_signal(signal.SIGINT)
    try:
        code = process.wait(60)
    finally:
        process.kill()
    assert code != 0, output.read_text(encoding="utf-8")
    assert _alive(folder) == []
