"""What an intake shows its operators: outcomes, publishing, what is under way."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from market_supervision.common.v1 import error_reason_pb2 as reasons
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.runtime.errors import ServiceError
from services.runtime.histogram import Histogram

PUBLISH_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
RECEIPT = "RECEIPT"
"""Outcome of an event that is on the log, now or already before."""


@dataclass(slots=True)
class IntakeFigures:
    """Plain numbers, written by the engine and read by any thread."""

    outcomes: "Counter[reasons.ErrorReason.ValueType | None]" = field(default_factory=Counter)
    """Events by the reason of their refusal; None: a receipt."""
    published: int = 0
    """Events handed to the broker: the others of those with a receipt were known already."""
    publish_seconds: Histogram = field(default_factory=lambda: Histogram(PUBLISH_SECONDS_BOUNDS))
    events_under_way: int = 0
    bytes_under_way: int = 0

    def settled(self, outcomes: Sequence[object]) -> None:
        """Count the outcomes of one call (a tenth of a microsecond each)."""
        self.outcomes.update(
            outcome.reason if isinstance(outcome, ServiceError) else None for outcome in outcomes
        )


class IntakeMetrics(Collector):
    """The figures of one intake, and whether it serves."""

    def __init__(self, figures: IntakeFigures, is_ready: Callable[[], bool]) -> None:
        self._figures = figures
        self._is_ready = is_ready

    def collect(self) -> Iterable[Metric]:
        """Yield every family once."""
        figures = self._figures
        events = CounterMetricFamily(
            "intake_events",
            "Events answered, by outcome: RECEIPT or the reason of a refusal.",
            labels=["outcome"],
        )
        for reason, count in figures.outcomes.copy().items():
            name = RECEIPT if reason is None else reasons.ErrorReason.Name(reason)
            events.add_metric([name.removeprefix("ERROR_REASON_")], count)
        yield events
        yield CounterMetricFamily(
            "intake_published", "Events handed to the broker.", value=figures.published
        )
        seconds = HistogramMetricFamily(
            "intake_publish_seconds",
            "Seconds from handing events to the broker until they are acknowledged.",
            labels=[],
        )
        seconds.add_metric([], *figures.publish_seconds.buckets())
        yield seconds
        yield GaugeMetricFamily(
            "intake_events_under_way",
            "Events handed to the broker and not settled.",
            value=figures.events_under_way,
        )
        yield GaugeMetricFamily(
            "intake_bytes_under_way", "Their size.", value=figures.bytes_under_way
        )
        yield GaugeMetricFamily(
            "intake_ready", "1 once the index holds the log.", value=float(self._is_ready())
        )
