"""A stream worker's health as Prometheus metrics: read when asked for, counted nowhere twice.

Labels are partition numbers, topic names and phases: bounded by the topic catalogue.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.streaming.health import EngineHealth, PartitionHealth, WorkerState


class EngineCollector(Collector):
    """Yields the metrics of one worker."""

    def __init__(self, health: EngineHealth) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """Yield every family once."""
        partitions = sorted(self._health.partitions.items())
        yield from self._worker()
        yield from _recovery(partitions)
        yield from _topics(partitions)
        yield from _progress(partitions)
        yield from self._totals()

    def _worker(self) -> Iterator[Metric]:
        health = self._health
        state = GaugeMetricFamily(
            "stream_worker_state", "1 for what the worker is doing now.", labels=["state"]
        )
        now = health.state
        for each in WorkerState:
            state.add_metric([each.value], float(each is now))
        yield state
        yield GaugeMetricFamily(
            "stream_worker_ready",
            "1 while every owned partition is restored and open, and the brokers answer.",
            value=float(health.ready),
        )
        yield GaugeMetricFamily(
            "stream_answer_age_seconds",
            "Seconds a topic-partition that is open has waited for a broker's answer, at most.",
            value=health.answer_age_s,
        )
        yield GaugeMetricFamily(
            "stream_worker_loop_age_seconds",
            "Seconds since the main loop last turned; about 1 at most in health.",
            value=max(0.0, time.monotonic() - health.loop_alive),
        )
        yield GaugeMetricFamily(
            "stream_worker_generation",
            "Generation of the consumer group this worker is in.",
            value=health.generation,
        )
        yield CounterMetricFamily(
            "stream_rebalances", "Assignments this process was given.", value=health.rebalances
        )
        yield CounterMetricFamily(
            "stream_fences",
            "Partitions this process took over, fencing whoever held them.",
            value=health.takeovers,
        )

    def _totals(self) -> Iterator[Metric]:
        units = CounterMetricFamily(
            "stream_units", "Units of work committed.", labels=["partition"]
        )
        records = CounterMetricFamily(
            "stream_records", "Source records applied.", labels=["partition"]
        )
        written = CounterMetricFamily(
            "stream_records_written",
            "Records of committed units by the topic they went to.",
            labels=["partition", "topic"],
        )
        seconds = HistogramMetricFamily(
            "stream_unit_seconds",
            "Seconds of a unit by phase: wait, step, prepare, commit, local.",
            labels=["partition", "phase"],
        )
        for number, totals in sorted(self._health.totals.items()):
            label = str(number)
            units.add_metric([label], totals.units)
            records.add_metric([label], totals.records)
            for topic, count in sorted(totals.written.copy().items()):
                written.add_metric([label, topic], count)
            for phase, histogram in totals.phases.items():
                seconds.add_metric([label, phase], *histogram.buckets())
        yield from (units, records, written, seconds)


def _recovery(partitions: list[tuple[int, PartitionHealth]]) -> Iterator[Metric]:
    done = GaugeMetricFamily(
        "stream_recovery_offsets_done",
        "Offsets of the changelog read in the last recovery.",
        labels=["partition"],
    )
    wanted = GaugeMetricFamily(
        "stream_recovery_offsets",
        "Offsets of the changelog there were to read in the last recovery.",
        labels=["partition"],
    )
    records = GaugeMetricFamily(
        "stream_recovery_records",
        "Records written to the local store in the last recovery.",
        labels=["partition"],
    )
    for number, partition in partitions:
        label, restore = [str(number)], partition.restore
        wanted.add_metric(label, max(0, restore.end - restore.first))
        done.add_metric(label, max(0, min(restore.position, restore.end) - restore.first))
        records.add_metric(label, restore.records)
    yield from (done, wanted, records)


def _topics(partitions: list[tuple[int, PartitionHealth]]) -> Iterator[Metric]:
    names = ["partition", "topic"]
    applied = GaugeMetricFamily(
        "stream_applied_offset", "Next offset of a source topic to apply.", labels=names
    )
    lag = GaugeMetricFamily(
        "stream_lag_offsets",
        "Offsets of a source topic that are known to exist and not applied.",
        labels=names,
    )
    for number, partition in partitions:
        for topic, position in sorted(dict(partition.applied).items()):
            applied.add_metric([str(number), topic], position.next_offset)
        for topic in sorted(partition.ends.copy()):
            lag.add_metric([str(number), topic], partition.lag(topic))
    yield from (applied, lag)


def _progress(partitions: list[tuple[int, PartitionHealth]]) -> Iterator[Metric]:
    now = time.monotonic()

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, text, labels=["partition"])

    ready = gauge(
        "stream_partition_ready", "1 while the partition is restored and open; a shadow's never."
    )
    shadow = gauge(
        "stream_partition_shadow", "1 while it is open to build the next version of the state."
    )
    holding = gauge("stream_partition_holding", "1 while it waits for a rule bundle.")
    behind = gauge(
        "stream_lag_seconds", "Seconds the oldest known record that is not applied has waited."
    )
    shadow_behind = gauge("stream_shadow_lag_seconds", "The same of a shadow, which may be behind.")
    waiting = gauge("stream_waiting_records", "Records fetched and not applied.")
    unit = gauge("stream_unit_number", "Number of the newest committed unit.")
    age = gauge(
        "stream_progress_age_seconds",
        "Seconds since the last unit; it grows while there is nothing to do.",
    )
    stream_time = gauge(
        "stream_time_seconds", "Stream time: the highest append time applied, as a Unix time."
    )
    for number, partition in partitions:
        label = [str(number)]
        ready.add_metric(label, float(partition.ready and not partition.shadow))
        shadow.add_metric(label, float(partition.ready and partition.shadow))
        holding.add_metric(label, float(partition.holding))
        (shadow_behind if partition.shadow else behind).add_metric(label, partition.behind_s)
        waiting.add_metric(label, partition.waiting_records)
        unit.add_metric(label, partition.unit)
        age.add_metric(label, max(0.0, now - partition.progress_at))
        stream_time.add_metric(label, partition.stream_time_ms / 1000)
    yield from (ready, shadow, holding, behind, shadow_behind, waiting, unit, age, stream_time)
