"""How far a rebuild is, as the command tells it."""

from typing import Any

import pytest
from kafka import TopicPartition

from services.cli.positions import Position
from services.cli.rebuild_command import _row
from services.cli.stream_workers import _topics_of
from services.streaming.meta import Applied, Meta, Rebuild

ENDS = {TopicPartition("red", 3): 100, TopicPartition("blue", 3): 50, TopicPartition("red", 4): 9}


def _position(rebuild: Rebuild | None, **applied: int) -> Position:
    return Position(Meta(5, 7, {t: Applied(o, 0) for t, o in applied.items()}, {}, rebuild), 0)


@pytest.mark.parametrize(
    ("position", "told"),
    [
        (None, {"state": "not begun", "applied": 0, "of": 150, "percent": 0.0}),
        (
            # Only what was there when it began counts; what came since is not part of it.
            _position(Rebuild({"red": 60, "blue": 0}, {"alerts": 4}, 3, 1), red=30),
            {"state": "rebuilding", "applied": 30, "of": 60, "percent": 50.0, "withheld": 3},
        ),
        (_position(None, red=90, blue=60), {"state": "whole", "applied": 140, "of": 150}),
    ],
)
def test_partition_is_told_by_its_newest_meta(
    position: Position | None, told: dict[str, Any]
) -> None:
    """Not begun, under way up to where the sources ended when it began, or whole."""
    row = _row(3, position, ENDS)
    assert told.items() <= row.items()


def test_partition_without_records_is_whole() -> None:
    """There is nothing to fold, and no META will ever come of it."""
    assert _row(7, None, ENDS)["state"] == "whole"


def test_member_is_known_by_what_it_subscribes_to_or_has() -> None:
    """While a group rebalances its members have nothing, and are there all the same."""
    assigned = {"assigned_partitions": [{"topic": "control", "partitions": [1]}]}
    assert _topics_of({"member_assignment": assigned, "member_metadata": None}) == {"control"}
    subscribed = {"member_assignment": None, "member_metadata": {"topics": ["control"]}}
    assert _topics_of(subscribed) == {"control"}
    assert _topics_of({"member_assignment": b"", "member_metadata": b""}) == set()
