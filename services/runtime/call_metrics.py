"""Calls of a gRPC server by method and code: every service that answers calls shows them."""

import time
from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.runtime.histogram import Histogram

CALL_SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class CallFigures(Collector):
    """Counts per call. Methods are those the server knows, codes those of gRPC: both bounded."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], int] = {}
        self._seconds: dict[str, Histogram] = {}
        self._open: dict[str, int] = {}

    def begun(self, method: str) -> float:
        """Count a call that begins; return when, for ``ended``."""
        self._open[method] = self._open.get(method, 0) + 1
        return time.monotonic()

    def ended(self, method: str, code: str, began: float, *, streaming: bool) -> None:
        """Count a call's end; streams have no duration that says anything."""
        self._open[method] -= 1
        self._calls[method, code] = self._calls.get((method, code), 0) + 1
        if not streaming:
            histogram = self._seconds.get(method)
            if histogram is None:
                histogram = self._seconds[method] = Histogram(CALL_SECONDS_BOUNDS)
            histogram.observe(time.monotonic() - began)

    def collect(self) -> Iterable[Metric]:
        """Yield every family once."""
        calls = CounterMetricFamily(
            "grpc_calls", "Calls ended, by method and code.", labels=["method", "code"]
        )
        for (method, code), count in sorted(self._calls.copy().items()):
            calls.add_metric([method, code], count)
        opened = GaugeMetricFamily("grpc_open_calls", "Calls and streams open.", labels=["method"])
        for method, count in sorted(self._open.copy().items()):
            opened.add_metric([method], count)
        seconds = HistogramMetricFamily(
            "grpc_call_seconds", "Seconds of a call with a single answer.", labels=["method"]
        )
        for method, histogram in sorted(self._seconds.copy().items()):
            seconds.add_metric([method], *histogram.buckets())
        yield from (calls, opened, seconds)
