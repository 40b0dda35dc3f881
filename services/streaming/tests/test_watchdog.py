"""The watchdog complains when work waits and nothing moves, and only then."""

import pytest

from services.streaming.attempts import BLAMED_EXITS
from services.streaming.health import EngineHealth, PartitionHealth
from services.streaming.meta import Applied
from services.streaming.watchdog import Watch


def worker(partition: PartitionHealth) -> EngineHealth:
    """Make the health of a worker with one partition."""
    return EngineHealth(assigned=True, partitions={3: partition}, loop_alive=0.0)


def watched(watch: Watch, health: EngineHealth, now: float) -> str | None:
    """Ask while the main loop turns; return the reason."""
    health.loop_alive = now
    complaint = watch.complaint(health, now)
    return None if complaint is None else complaint.reason


def test_watch_with_records_waiting_and_no_unit_complains() -> None:
    """A wedged partition is named."""
    health = worker(PartitionHealth(ready=True, waiting_records=5))
    watch = Watch(10.0)
    assert watched(watch, health, 100.0) is None
    assert watched(watch, health, 109.0) is None
    assert "partition 3 applies nothing" in (watched(watch, health, 111.0) or "")


def test_watch_with_units_going_on_is_content() -> None:
    """A partition that works has records waiting all the time."""
    partition = PartitionHealth(ready=True, waiting_records=5)
    watch = Watch(10.0)
    for second in range(60):
        partition.unit = second // 5
        assert watched(watch, worker(partition), float(second)) is None


def test_watch_with_lag_on_the_broker_complains() -> None:
    """Records that exist and are never delivered are work that waits, too."""
    partition = PartitionHealth(ready=True, applied={"a": Applied(5, 0)}, ends={"a": 6})
    watch = Watch(10.0)
    watched(watch, worker(partition), 0.0)
    assert watched(watch, worker(partition), 11.0) is not None


def test_watch_with_a_unit_in_flight_that_does_not_end_complains() -> None:
    """A unit without a record, that wants a tick or passes control records, counts too."""
    partition = PartitionHealth(ready=True, holding=True, in_flight=True)
    watch = Watch(10.0)
    watched(watch, worker(partition), 0.0)
    assert watched(watch, worker(partition), 11.0) is not None


def test_watch_with_nothing_to_do_is_content() -> None:
    """An idle partition may be idle for ever."""
    partition = PartitionHealth(ready=True, applied={"a": Applied(6, 0)}, ends={"a": 6})
    watch = Watch(10.0)
    watched(watch, worker(partition), 0.0)
    assert watched(watch, worker(partition), 1_000.0) is None


@pytest.mark.parametrize("why", ["holding", "following"])
def test_watch_with_a_partition_that_waits_rightly_is_content(why: str) -> None:
    """Before the first rule bundle, and behind the version a shadow follows, records wait."""
    partition = PartitionHealth(ready=True, waiting_records=5)
    setattr(partition, why, True)
    watch = Watch(10.0)
    watched(watch, worker(partition), 0.0)
    assert watched(watch, worker(partition), 1_000.0) is None


def test_watch_with_a_loop_that_does_not_turn_complains() -> None:
    """Heartbeats come from another thread; only the watchdog sees a wedged main loop."""
    health = EngineHealth(loop_alive=100.0)
    assert Watch(10.0).complaint(health, 109.0) is None
    assert "main loop" in str(Watch(10.0).complaint(health, 111.0))


def test_watch_with_a_worker_that_the_group_forgot_complains() -> None:
    """It owns nothing and would stand there for ever; also where it only stood by before."""
    health = EngineHealth(rebalances=1)
    watch = Watch(10.0)
    assert watched(watch, health, 0.0) is None
    assert "the group assigns nothing" in (watched(watch, health, 11.0) or "")


@pytest.mark.parametrize("why", ["assigned", "recovering"])
def test_watch_with_a_worker_that_has_its_place_is_content(why: str) -> None:
    """A standby is assigned, for as long as nobody needs it; a recovery is watched as such."""
    health = EngineHealth(rebalances=1)
    setattr(health, why, True)
    watch = Watch(10.0)
    for second in range(0, 1_000, 5):
        health.restored_records = second
        assert watched(watch, health, float(second)) is None


@pytest.mark.parametrize(
    "health",
    [
        EngineHealth(rebalances=1),
        EngineHealth(rebalances=1, recovering=True),
        worker(PartitionHealth(ready=True, waiting_records=5)),
        worker(PartitionHealth(ready=True, in_flight=True)),
    ],
    ids=["revoked", "recovering", "records-waiting", "unit-in-flight"],
)
def test_watch_with_the_brokers_away_counts_the_time_from_their_return(
    health: EngineHealth,
) -> None:
    """It waits rightly: there is nobody to tell it anything, and nobody to commit to."""
    health.brokers_away = True
    watch = Watch(10.0)
    assert watched(watch, health, 0.0) is None
    assert watched(watch, health, 500.0) is None
    health.brokers_away = False
    assert watched(watch, health, 501.0) is None
    assert watched(watch, health, 510.0) is None
    assert watched(watch, health, 512.0) is not None


def test_watch_with_a_loop_that_does_not_turn_asks_no_broker() -> None:
    """Whoever is to tell that they are away needs that loop."""
    health = EngineHealth(loop_alive=100.0, brokers_away=True)
    assert "main loop" in str(Watch(10.0).complaint(health, 111.0))


def test_watch_with_a_first_recovery_that_cannot_fence_complains() -> None:
    """It shows no partition before all are fenced, and aiokafka tries to for ever."""
    health = EngineHealth(rebalances=1, recovering=True)
    watch = Watch(10.0)
    for second in range(0, 60, 5):
        health.fenced = second
        assert watched(watch, health, float(second)) is None
    health.loop_alive = 70.0
    complaint = watch.complaint(health, 70.0)
    assert complaint is not None
    assert "stands still at 55 fenced" in complaint.reason
    assert complaint.code not in BLAMED_EXITS, "partitions that are open may be trying records"


def test_watch_with_a_recovery_that_reads_what_it_need_not_keep_is_content() -> None:
    """Offsets of a compacted log, and of alerts before a rebuild, bring no record."""
    partition = PartitionHealth(ready=False)
    watch = Watch(10.0)
    for second in range(0, 60, 5):
        partition.restore.end = 1_000 - second
        assert watched(watch, worker(partition), float(second)) is None


def test_watch_with_a_recovery_that_stands_still_complains() -> None:
    """A recovery may be long, but it must move."""
    health = worker(PartitionHealth(ready=False))
    watch = Watch(10.0)
    for second in range(0, 60, 5):
        health.restored_records = second
        assert watched(watch, health, float(second)) is None
    assert "recovery stands still" in (watched(watch, health, 70.0) or "")


def test_watch_with_partitions_revoked_and_the_brokers_away_is_content() -> None:
    """What it had is closed, and not being recovered: it waits for the group."""
    health = EngineHealth(rebalances=1, partitions={3: PartitionHealth()}, brokers_away=True)
    watch = Watch(10.0)
    assert watched(watch, health, 0.0) is None
    assert watched(watch, health, 500.0) is None
