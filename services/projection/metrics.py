"""What the projection shows its operators: how far the read model is, and whether it moves."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.projection.source import Place
from services.runtime.histogram import Histogram
from services.runtime.monitor import Condition

LIVE_LOOP_AGE_S = 120.0
"""A loop that has not turned for so long should be started again."""
READY_LOOP_AGE_S = 10.0
BATCH_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(slots=True)
class ProjectionFigures:
    """Plain numbers, written by the loop and read by any thread."""

    positions: Mapping[Place, int | None]
    """Next offset of every place, as it is in Redis."""
    ends: Mapping[Place, int]
    """Last known end of every place."""
    attached: bool = False
    """Whether Redis and Kafka answered last time."""
    complete: bool = False
    """Whether every place of this process was complete since the read model was last attached."""
    superseded: bool = False
    """Whether a newer read model answers: this process writes nothing any more."""
    records: int = 0
    rewinds: int = 0
    batch_seconds: Histogram = field(default_factory=lambda: Histogram(BATCH_SECONDS_BOUNDS))
    loop_alive: float = field(default_factory=time.monotonic)

    def wrote(self, records: int, seconds: float) -> None:
        """Count a batch that was written."""
        self.records += records
        self.batch_seconds.observe(seconds)

    def lag(self, place: Place) -> int:
        """Return how many offsets of a place are known to exist and not written."""
        return max(0, self.ends.get(place, 0) - (self.positions.get(place) or 0))


class ProjectionMonitor(Collector):
    """The figures of the generation being projected; before the first there are none."""

    def __init__(self) -> None:
        self.figures: ProjectionFigures | None = None
        self._made = time.monotonic()

    def condition(self) -> Condition:
        """Alive while the loop turns; ready while the read model is complete and can be written."""
        figures = self.figures
        if figures is None:
            age_s = time.monotonic() - self._made
            return Condition(live=True, ready=False, details={"state": "starting", "age": age_s})
        age_s = max(0.0, time.monotonic() - figures.loop_alive)
        ready = (
            figures.complete
            and figures.attached
            and not figures.superseded
            and age_s <= READY_LOOP_AGE_S
        )
        if figures.superseded:
            state = "superseded"
        elif not figures.attached:
            state = "detached"
        else:
            state = "following" if figures.complete else "building"
        details = {
            "state": state,
            "loop_age_seconds": round(age_s, 1),
            "offsets_behind": sum(figures.lag(place) for place in list(figures.positions)),
        }
        return Condition(live=age_s <= LIVE_LOOP_AGE_S, ready=ready, details=details)

    def collect(self) -> Iterable[Metric]:
        """Yield every family once."""
        figures = self.figures
        names = ["partition", "topic"]
        position = GaugeMetricFamily(
            "projection_position", "Next offset to be written to Redis.", labels=names
        )
        lag = GaugeMetricFamily(
            "projection_lag_offsets", "Offsets that are committed and not in Redis.", labels=names
        )
        seconds = HistogramMetricFamily(
            "projection_batch_seconds", "Seconds to write a batch to Redis.", labels=[]
        )
        if figures is not None:
            for place, offset in sorted(figures.positions.items()):
                label = [str(place[0]), place[1]]
                position.add_metric(label, offset or 0)
                lag.add_metric(label, figures.lag(place))
            seconds.add_metric([], *figures.batch_seconds.buckets())
        yield from (position, lag, seconds)
        condition = self.condition()
        yield GaugeMetricFamily(
            "projection_ready", "1 while the read model is complete.", value=float(condition.ready)
        )
        yield CounterMetricFamily(
            "projection_records",
            "Records written to Redis.",
            value=0 if figures is None else figures.records,
        )
        yield CounterMetricFamily(
            "projection_rewinds",
            "Times Redis was not where it was left: flushed, restored, another projection.",
            value=0 if figures is None else figures.rewinds,
        )
        age_s = 0.0 if figures is None else max(0.0, time.monotonic() - figures.loop_alive)
        yield GaugeMetricFamily(
            "projection_loop_age_seconds", "Seconds since the loop last turned.", value=age_s
        )
