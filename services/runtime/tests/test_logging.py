"""Log lines: machine-readable, complete, and silent about people."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.runtime.logging import LibraryRepeats, configure_logging, get_logger
from services.runtime.settings import LogFormat, LogSettings

SECRET = "13800000000"  # noqa: S105 - stands for a person's telephone number


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("services").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def fail_with_local(value: str) -> None:
    """Raise while a local variable holds something private."""
    private = value
    assert private
    raise ValueError("no such row")


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.TEXT])
def test_traceback_never_shows_local_variables(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """A logged exception names where it happened, and nothing of what the variables held."""
    configure_logging("complaints", LogSettings(format=log_format))
    try:
        fail_with_local(SECRET)
    except ValueError:
        get_logger("services.complaints").exception("call_failed")
    written = capsys.readouterr().err
    assert "fail_with_local" in written
    assert "no such row" in written
    assert SECRET not in written


def test_line_carries_service_level_time_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator can filter by service and field without parsing prose."""
    configure_logging("lifecycle", LogSettings(format=LogFormat.JSON))
    get_logger("services.streaming").info("unit_committed", partition=3)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "unit_committed",
        "level": "info",
        "partition": 3,
        "service": "lifecycle",
    }


def test_libraries_are_heard_only_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A library's warning comes through in our form; its chatter does not."""
    configure_logging("lifecycle", LogSettings(format=LogFormat.JSON, level="DEBUG"))
    logging.getLogger("aiokafka").info("Joined group")
    logging.getLogger("aiokafka").warning("Heartbeat failed for %s", "group")
    get_logger("services.lifecycle").debug("deadline_index_read")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "Heartbeat failed for group",
        "deadline_index_read",
    ]


def test_library_that_repeats_itself_is_written_once_a_minute() -> None:
    """Warnings of one line of code are the same whatever they name; so are equal errors."""
    now = [100.0]
    repeats = LibraryRepeats(monotonic=lambda: now[0])

    def written(name: str, level: int, line: int, text: str) -> logging.LogRecord | None:
        record = logging.LogRecord(name, level, "x.py", line, text, None, None)
        return record if repeats.filter(record) else None

    assert written("aiokafka.client", logging.WARNING, 7, "partition 0 has no leader")
    for partition in range(1, 50):
        text = f"partition {partition} has no leader"
        assert written("aiokafka.client", logging.WARNING, 7, text) is None
    assert written("aiokafka.client", logging.WARNING, 8, "another line of code")
    assert written("aiokafka.client", logging.ERROR, 9, "one failure")
    assert written("aiokafka.client", logging.ERROR, 9, "another failure")
    assert written("aiokafka.client", logging.ERROR, 9, "one failure") is None
    assert written("services.streaming.engine", logging.WARNING, 7, "ours")
    assert written("services.streaming.engine", logging.WARNING, 7, "ours")
    now[0] += 60.0
    again = written("aiokafka.client", logging.WARNING, 7, "partition 3 has no leader")
    assert again is not None
    assert vars(again)["repeated"] == 49
