"""The metrics say of a worker what its health says, under bounded labels."""

import time

from prometheus_client import CollectorRegistry, generate_latest

from services.streaming.health import EngineHealth, PartitionHealth, RestoreProgress
from services.streaming.meta import Applied
from services.streaming.metrics import EngineCollector


def shown(health: EngineHealth) -> CollectorRegistry:
    """Make a registry with the worker's metrics, after they were written out once."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(health))
    assert generate_latest(registry)
    return registry


def working() -> EngineHealth:
    """Make the health of a worker with one partition that has done two units."""
    health = EngineHealth(assigned=True, rebalances=1, takeovers=1)
    partition = PartitionHealth(
        ready=True,
        unit=9,
        stream_time_ms=1_500,
        applied={"a": Applied(40, 1_500)},
        ends={"a": 45},
        restore=RestoreProgress(first=10, position=30, end=30, records=12),
    )
    health.own({3: partition})
    for seconds in (0.002, 20.0):
        partition.totals.units += 1
        partition.totals.records += 4
        partition.totals.wrote("changelog", 5)
        partition.totals.phases["commit"].observe(seconds)
    return health


def test_figures_of_a_partition_are_shown_under_its_number() -> None:
    """Lag, position, units, and what recovery did."""
    registry = shown(working())
    topic = {"partition": "3", "topic": "a"}
    assert registry.get_sample_value("stream_lag_offsets", topic) == 5
    assert registry.get_sample_value("stream_applied_offset", topic) == 40
    one = {"partition": "3"}
    assert registry.get_sample_value("stream_units_total", one) == 2
    assert registry.get_sample_value("stream_records_total", one) == 8
    assert registry.get_sample_value("stream_unit_number", one) == 9
    assert registry.get_sample_value("stream_time_seconds", one) == 1.5
    assert registry.get_sample_value("stream_recovery_offsets", one) == 20
    assert registry.get_sample_value("stream_recovery_offsets_done", one) == 20
    assert registry.get_sample_value("stream_fences_total") == 1
    written = {"partition": "3", "topic": "changelog"}
    assert registry.get_sample_value("stream_records_written_total", written) == 10


def test_unit_times_are_cumulated_by_phase() -> None:
    """The last bucket holds all; a phase that never was holds none."""
    registry = shown(working())
    commit = {"partition": "3", "phase": "commit"}
    name = "stream_unit_seconds_bucket"
    assert registry.get_sample_value(name, {**commit, "le": "0.001"}) == 0
    assert registry.get_sample_value(name, {**commit, "le": "0.0025"}) == 1
    assert registry.get_sample_value(name, {**commit, "le": "10.0"}) == 1
    assert registry.get_sample_value(name, {**commit, "le": "+Inf"}) == 2
    assert registry.get_sample_value("stream_unit_seconds_sum", commit) == 20.002
    step = {"partition": "3", "phase": "step"}
    assert registry.get_sample_value("stream_unit_seconds_count", step) == 0


def test_counts_go_on_when_a_partition_comes_back_and_stay_when_it_is_gone() -> None:
    """A counter that went back would look like a restart of the process."""
    health = working()
    health.own({})
    registry = shown(health)
    assert registry.get_sample_value("stream_units_total", {"partition": "3"}) == 2
    assert registry.get_sample_value("stream_lag_offsets", {"partition": "3", "topic": "a"}) is None
    again = PartitionHealth()
    health.own({3: again})
    again.totals.units += 1
    assert shown(health).get_sample_value("stream_units_total", {"partition": "3"}) == 3


def test_worker_that_hears_nothing_of_its_brokers_is_not_ready() -> None:
    """Without their answers a lag of 0 says nothing."""
    health = working()
    assert shown(health).get_sample_value("stream_answer_age_seconds") == 0
    assert shown(health).get_sample_value("stream_worker_ready") == 1
    health.answered_at = time.monotonic() - 40.0
    registry = shown(health)
    assert (registry.get_sample_value("stream_answer_age_seconds") or 0.0) >= 40.0
    assert registry.get_sample_value("stream_worker_ready") == 0
    assert registry.get_sample_value("stream_worker_state", {"state": "working"}) == 1


def test_state_of_a_worker_follows_its_life() -> None:
    """From the start over recovery to work, and back at a rebalance."""
    health, partition = EngineHealth(), PartitionHealth()
    states = [health.state]
    health.rebalances, health.recovering = 1, True
    health.own({0: partition})
    states.append(health.state)
    partition.ready, health.assigned, health.recovering = True, True, False
    states.append(health.state)
    partition.ready, health.assigned = False, False
    states.append(health.state)
    health.own({})
    health.assigned = True
    states.append(health.state)
    assert states == ["starting", "recovering", "working", "rebalancing", "standby"]
    assert shown(health).get_sample_value("stream_worker_state", {"state": "standby"}) == 1


def test_shadow_is_never_taken_for_the_owner_of_its_partitions() -> None:
    """Else nobody would be called while the running version's workers are gone."""
    health = working()
    health.partitions[3].shadow = True
    health.partitions[3].behind_s = 900.0
    registry, one = shown(health), {"partition": "3"}
    assert registry.get_sample_value("stream_partition_ready", one) == 0
    assert registry.get_sample_value("stream_partition_shadow", one) == 1
    assert registry.get_sample_value("stream_lag_seconds", one) is None
    assert registry.get_sample_value("stream_shadow_lag_seconds", one) == 900
