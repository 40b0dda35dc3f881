"""What a step may not write is refused before anything is sent."""

import pytest

from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import SideRecord, UnitOutput
from services.streaming.meta import META_KEY
from services.streaming.unit_of_work import by_topic, check_output


def test_output_within_bounds_is_sized_in_bytes() -> None:
    """Keys, values and headers of all records count."""
    output = UnitOutput({b"k": b"12345"}, [SideRecord("t", b"k", b"123", (("name", b"12"),))])
    assert check_output(output, given=1, record_bytes=100) == 16


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (UnitOutput({b"": b"v"}), "empty or reserved"),
        (UnitOutput({META_KEY: b"v"}), "empty or reserved"),
        (UnitOutput({b"\x00own": b"v"}), "empty or reserved"),
        (UnitOutput({}, [SideRecord("timeline", META_KEY, b"v")]), "engine's own"),
        (UnitOutput({b"k": b"v" * 100}), "101 bytes, over 100"),
        (UnitOutput({}, [SideRecord("t", None, b"v" * 101)]), "101 bytes, over 100"),
        (UnitOutput({}, [], taken=3), "taken=3 of 2"),
        (UnitOutput({}, [], taken=-1), "taken=-1 of 2"),
        (UnitOutput({}, [], taken=0), "could never end"),
    ],
)
def test_output_that_may_not_be_written_is_refused(output: UnitOutput, reason: str) -> None:
    """A defect of the step ends the process with its code and a reason, and leaves no trace."""
    with pytest.raises(EngineError, match=reason) as caught:
        check_output(output, given=2, record_bytes=100)
    assert caught.value.code is ExitCode.STEP_FAILED


def test_output_that_takes_no_record_but_changes_state_is_allowed() -> None:
    """A tick with many due keys stays untaken until none is left."""
    assert check_output(UnitOutput({b"k": b"v"}, [], taken=0), 2, 100) == 2


def test_side_records_of_a_topic_keep_their_order() -> None:
    """A reader of one topic sees them as the step wrote them."""
    side = [SideRecord("a", b"1", b"x"), SideRecord("b", b"2", b"y"), SideRecord("a", b"3", b"z")]
    assert by_topic(side) == {
        "a": [(b"1", b"x", ()), (b"3", b"z", ())],
        "b": [(b"2", b"y", ())],
    }
