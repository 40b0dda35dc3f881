"""Logs that earlier releases wrote are folded by this one to the outcome that was recorded."""

import pytest

from integration_tests.archive.archived_log import expected, names, read_log, replay

CHANGED = """the fold of today comes to another view, or other alerts, from the same log.
If that is meant: say in CHANGELOG.md that the state has to be rebuilt, and renew the outcome with
    python -m integration_tests.archive renew """


def test_there_is_an_archived_log() -> None:
    """Without one the test below would pass for want of a case."""
    assert names()


@pytest.mark.parametrize("name", names())
def test_archived_log_comes_to_its_recorded_outcome(name: str) -> None:
    """Also where rules and calendars changed since: those in force then stand on the log."""
    assert replay(read_log(name)) == expected(name), CHANGED + name


def test_another_past_has_another_outcome() -> None:
    """A log that lacks one event does not come to the same."""
    records = read_log(names()[0])
    events = [number for number, record in enumerate(records) if "control" not in record.topic]
    del records[events[len(events) // 2]]
    changed = replay(records)
    assert changed.view != expected(names()[0]).view
