"""How durable topics are to be: what can be asked for, and what falls short of it."""

import pytest

from services.runtime.durability import BROKERS_DEFAULT, Durability


@pytest.mark.parametrize(
    ("replicas", "in_sync_min"), [(0, None), (-1, None), (3, 0), (None, 1), (2, 3)]
)
def test_what_no_topic_can_have_is_refused_in_both_languages(
    replicas: int | None, in_sync_min: int | None
) -> None:
    """Less than one of either, more in sync than there are, or in sync without a number."""
    with pytest.raises(ValueError, match=r"副本"):
        Durability(replicas, in_sync_min)


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        (BROKERS_DEFAULT, []),
        (Durability(1), []),
        (Durability(2, 1), []),
        (Durability(3), ["replicas is 2, less than 3"]),
        (
            Durability(3, 2),
            ["replicas is 2, less than 3", "min.insync.replicas is 1, less than 2"],
        ),
    ],
)
def test_topic_falls_short_of_what_it_has_less_of(asked: Durability, lacks: list[str]) -> None:
    """Two replicas, of which one must have a record: enough for some, and more than for others."""
    assert asked.shortfalls(2, 1) == lacks


def test_minimum_in_sync_becomes_a_setting_of_the_topic_only_when_asked_for() -> None:
    """Otherwise it stays the broker's, which an administrator may change for all topics at once."""
    assert Durability(3, 2).settings() == {"min.insync.replicas": "2"}
    assert Durability(3).settings() == {}
