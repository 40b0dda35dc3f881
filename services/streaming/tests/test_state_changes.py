"""Every change of a worker is said once; what does not change is not said."""

import logging

from services.streaming.health import EngineHealth, PartitionHealth, RestoreProgress
from services.streaming.meta import Applied
from services.streaming.state_changes import Change, StateChanges

BEHIND_S = 60.0
NOW_MS = 1_795_000_000_000


def partition(applied: int = 0, end: int = 0, **shown: bool) -> PartitionHealth:
    """Make an open partition that has applied a topic up to an offset."""
    return PartitionHealth(
        ready=shown.get("ready", True),
        holding=shown.get("holding", False),
        following=shown.get("following", False),
        applied={"a": Applied(applied, 0)},
        ends={"a": end},
    )


def events(changes: list[Change]) -> list[str]:
    """Names of the lines."""
    return [change.event for change in changes]


def test_look_at_a_partition_that_keeps_up_says_nothing() -> None:
    """Records that are applied within a second or two are never a line, however many there are."""
    changes, shown = StateChanges(BEHIND_S), partition()
    health = EngineHealth(assigned=True, partitions={3: shown})
    for second in range(300):
        shown.ends["a"] = 100 * second + 50
        shown.applied = {"a": Applied(100 * second, 0)}
        assert changes.look(health, float(second), NOW_MS) == []
        assert shown.behind_s <= 2.0


def test_look_at_a_partition_that_falls_behind_and_catches_up_says_both_once() -> None:
    """It is behind by the age of its oldest waiting record, not by how many wait."""
    changes, shown = StateChanges(BEHIND_S), partition(applied=5, end=6)
    health = EngineHealth(assigned=True, partitions={3: shown})
    said = [
        change for second in range(100) for change in changes.look(health, float(second), NOW_MS)
    ]
    assert events(said) == ["partitions_fell_behind"]
    assert said[0].fields == {"partitions": [3], "offsets_behind": 1, "oldest_s": 60.0}
    assert said[0].level == logging.WARNING
    shown.applied = {"a": Applied(6, 0)}
    said = [
        change
        for second in range(100, 110)
        for change in changes.look(health, float(second), NOW_MS)
    ]
    assert events(said) == ["partitions_caught_up"]
    assert said[0].fields == {"partitions": [3], "after_s": 100.0}
    assert shown.behind_s == 0.0


def test_look_at_a_holding_partition_says_what_it_waits_for_and_not_that_it_is_behind() -> None:
    """Before the first rule bundle records wait rightly."""
    changes, shown = StateChanges(BEHIND_S), partition(end=6, holding=True)
    health = EngineHealth(assigned=True, partitions={0: shown, 1: partition()})
    said = [
        change for second in range(100) for change in changes.look(health, float(second), NOW_MS)
    ]
    assert events(said) == ["partitions_holding"]
    assert said[0].fields["partitions"] == [0]
    shown.holding, shown.applied = False, {"a": Applied(6, 0)}
    assert events(changes.look(health, 100.0, NOW_MS)) == ["partitions_released"]


def test_look_at_a_partition_that_was_taken_away_says_nothing_of_it() -> None:
    """Its next owner will; and when it comes back it begins anew."""
    changes, shown = StateChanges(BEHIND_S), partition(end=6)
    health = EngineHealth(assigned=True, partitions={3: shown})
    for second in range(100):
        changes.look(health, float(second), NOW_MS)
    shown.ready = False
    assert changes.look(health, 101.0, NOW_MS) == []
    shown.ready = True
    assert changes.look(health, 102.0, NOW_MS) == []
    assert shown.behind_s == 0.0


def test_look_at_a_long_recovery_says_every_ten_seconds_what_is_left() -> None:
    """A short one says nothing here: its end is a line of its own."""
    changes = StateChanges(BEHIND_S)
    shown = PartitionHealth(restore=RestoreProgress(position=400, end=1_000))
    health = EngineHealth(recovering=True, restored_records=7, partitions={3: shown})
    said = [
        change for second in range(25) for change in changes.look(health, float(second), NOW_MS)
    ]
    assert events(said) == ["recovery_goes_on"] * 2
    assert said[0].fields == {"records": 7, "offsets_left": 600}
    health.recovering = False
    assert changes.look(health, 40.0, NOW_MS) == []


def test_look_at_a_worker_that_was_away_says_since_when_its_records_wait() -> None:
    """Not since when this process has seen them: a restart makes nothing younger."""
    changes, shown = StateChanges(BEHIND_S), partition(end=6)
    shown.oldest_ms = NOW_MS - 3_600_000
    said = changes.look(EngineHealth(assigned=True, partitions={3: shown}), 1.0, NOW_MS)
    assert events(said) == ["partitions_fell_behind"]
    assert shown.behind_s == 3_600.0


def test_look_at_a_shadow_that_waits_for_the_running_version_says_nothing() -> None:
    """It may not go further, so it is not behind."""
    changes, shown = StateChanges(BEHIND_S), partition(end=6, following=True)
    shown.oldest_ms = NOW_MS - 3_600_000
    health = EngineHealth(assigned=True, partitions={3: shown})
    assert [changes.look(health, float(second), NOW_MS) for second in range(100)] == [[]] * 100
    assert shown.behind_s == 0.0
