"""Comparing the receipts of the real data sets with what the log holds."""

import pytest

from services.importing.log_counts import LogCount
from services.importing.real import compare


def log(*event_ids: str, system: str = "chicago.311_sanitation") -> dict[str, LogCount]:
    """Return a count of the complaints topic with these events, in this order."""
    count = LogCount()
    for event_id in event_ids:
        count.records += 1
        count.records_by_source_system[system] += 1
        count.event_ids.setdefault(system, set()).add(event_id)
    count.source_versions = len(set(event_ids))
    return {"complaints": count}


def faults(receipts: set[str], found: dict[str, LogCount]) -> list[str]:
    """Compare; return what does not add up."""
    told: list[str] = []
    result = compare({"complaints": receipts}, found, told.append)
    assert len(told) == 1
    return result


def test_log_that_holds_each_receipt_once_adds_up() -> None:
    """Whenever the events came: at once, or partly by a run that was interrupted."""
    assert faults({"a", "b"}, log("a", "b")) == []


@pytest.mark.parametrize(
    ("receipts", "on_log", "fault"),
    [
        ({"a", "b"}, (), "2 receipts are of no event"),
        ({"a", "b"}, ("a", "c"), "1 receipts are of no event"),
        ({"a"}, ("a", "b"), "1 events on the log have no receipt"),
        ({"a", "b"}, ("a", "b", "a"), "3 records hold 2 source versions"),
    ],
)
def test_log_that_lacks_or_repeats_an_event_is_a_fault(
    receipts: set[str], on_log: tuple[str, ...], fault: str
) -> None:
    """Equal counts are not enough: the events must be the same ones."""
    assert any(fault in each for each in faults(receipts, log(*on_log)))


def test_events_of_other_sources_are_left_out() -> None:
    """The system may be in use for other things."""
    assert faults(set(), log("x", "x", system="zs.complaint")) == []
