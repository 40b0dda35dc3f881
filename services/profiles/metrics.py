"""What the query side shows its operators beside its calls: watches of alerts, and readiness."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.profiles.watches import Watches
from services.runtime.monitor import Condition


class ProfilesMetrics(Collector):
    """The figures of one instance; ``ready`` is set by whoever asks the read model."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self.ready = False

    def condition(self) -> Condition:
        """Ready while the read model is complete and can be read."""
        details = {"watches": self._watches.open_now}
        return Condition(live=True, ready=self.ready, details=details)

    def collect(self) -> Iterable[Metric]:
        """Yield every family once."""
        watches = self._watches
        yield GaugeMetricFamily(
            "profiles_ready", "1 while the read model can answer.", value=float(self.ready)
        )
        yield GaugeMetricFamily("alert_watches_open", "Watches open.", value=watches.open_now)
        yield GaugeMetricFamily(
            "alert_watches_following",
            "Watches on the shared tail; the others read the past on their own.",
            value=watches.following,
        )
        yield CounterMetricFamily("alert_watches", "Watches opened.", value=watches.opened)
        yield CounterMetricFamily(
            "alert_watches_fell_behind",
            "Times a subscriber fell off the tail and went on with a reader of his own.",
            value=watches.fell_behind,
        )
        yield CounterMetricFamily(
            "alert_watches_cut",
            "Watches ended because the subscriber took nothing for too long.",
            value=watches.cut,
        )
