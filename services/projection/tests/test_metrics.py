"""The projection is ready only while the read model is complete and can be written."""

import time

from prometheus_client import CollectorRegistry

from services.projection.metrics import LIVE_LOOP_AGE_S, ProjectionFigures, ProjectionMonitor

PLACE = (3, "lifecycle.v1")


def test_condition_follows_the_life_of_a_read_model() -> None:
    """Starting, building, following, detached; and a loop that does not turn."""
    monitor = ProjectionMonitor()
    seen = [(monitor.condition().ready, monitor.condition().details["state"])]
    figures = monitor.figures = ProjectionFigures({PLACE: None}, {PLACE: 9}, attached=True)
    seen.append((monitor.condition().ready, monitor.condition().details["state"]))
    figures.positions, figures.complete = {PLACE: 9}, True
    seen.append((monitor.condition().ready, monitor.condition().details["state"]))
    figures.attached = False
    seen.append((monitor.condition().ready, monitor.condition().details["state"]))
    assert seen == [
        (False, "starting"), (False, "building"), (True, "following"), (False, "detached"),
    ]  # fmt: skip
    figures.attached = figures.superseded = True
    condition = monitor.condition()
    assert (condition.live, condition.ready, condition.details["state"]) == (
        True, False, "superseded",
    )  # fmt: skip
    figures.superseded = False
    figures.loop_alive = time.monotonic() - LIVE_LOOP_AGE_S - 1
    assert (monitor.condition().live, monitor.condition().ready) == (False, False)


def test_metrics_tell_position_and_lag_of_every_place() -> None:
    """Nothing before the first generation, then what Redis has."""
    monitor = ProjectionMonitor()
    registry = CollectorRegistry()
    registry.register(monitor)
    labels = {"partition": "3", "topic": "lifecycle.v1"}
    assert registry.get_sample_value("projection_position", labels) is None
    assert registry.get_sample_value("projection_ready") == 0
    monitor.figures = ProjectionFigures({PLACE: 4}, {PLACE: 9})
    monitor.figures.wrote(7, 0.02)
    assert registry.get_sample_value("projection_position", labels) == 4
    assert registry.get_sample_value("projection_lag_offsets", labels) == 5
    assert registry.get_sample_value("projection_records_total") == 7
    assert registry.get_sample_value("projection_batch_seconds_count") == 1
