"""What a territory needs, from unit costs: the arithmetic of the sizing page. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECOVERY_ROW = "growth_recovery_per_record"
"""The one row in which the lifecycle worker itself recovers, with its local indexes, on a quiet
machine, from as many records as a worker of a city has. Its unit: microseconds a record."""

REPLICAS = 3
DIRTY = 2.0
"""A compacted topic may be half old records before the cleaner works (dirty ratio 0.5)."""
REDIS_HEADROOM = 1.4
"""Fragmentation, buffers of replicas, a second generation while a new one is built is extra."""
PEAK = 22
"""Peak over mean: 330 against 15 events a second in the national figures."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A territory: its entities, its events a day, and how many workers this page gives it."""

    name: str
    entities: float
    events_a_day: float
    workers: int


SCALES = (
    Scale("city", 530e3, 3_700, 2),
    Scale("province", 10e6, 69_800, 4),
    Scale("country", 189e6, 1_320e3, 12),
)
EVENTS_PER_ENTITY = 19.0
"""History: ten million events of a city of 530,000."""


class Costs:
    """Measured unit costs, and what follows from them for a scale."""

    def __init__(self, costs: Mapping[str, Any]) -> None:
        self.raw = costs
        self.state = float(sum(costs["state_bytes_per_entity"].values()))
        self.outputs = float(sum(costs["output_bytes_alone"].values()))
        self.event_seconds = float(costs["cpu_us_per_event"]["stream_worker"]) / 1e6
        self.recovery_rate = float(costs["recovery"]["records"] / costs["recovery"]["seconds"])
        self.recovery_source = str(costs["recovery"].get("source", "this sample"))

    def events(self, scale: Scale) -> float:
        """Events of the history."""
        return scale.entities * EVENTS_PER_ENTITY

    def per_second(self, scale: Scale) -> float:
        """Mean rate."""
        return scale.events_a_day / 86_400

    def event_disk(self, scale: Scale) -> float:
        """Bytes of the history's event topics, all replicas."""
        return self.events(scale) * float(self.raw["event_bytes_bulk"]["all"]) * REPLICAS

    def event_growth(self, scale: Scale) -> float:
        """Bytes a year, all replicas."""
        return scale.events_a_day * 365 * float(self.raw["event_bytes_alone"]) * REPLICAS

    def state_disk(self, scale: Scale) -> float:
        """Bytes of lifecycle.v1, all replicas."""
        return scale.entities * self.state * DIRTY * REPLICAS

    def timeline_disk(self, scale: Scale) -> float:
        """Bytes of timeline.v1, all replicas."""
        return self.events(scale) * float(self.raw["timeline_bytes_per_event"]) * REPLICAS

    def local_disk(self, scale: Scale) -> float:
        """Bytes of RocksDB in one worker, twice for a compaction under way."""
        entity = float(self.raw["local_disk_bytes_per_entity"])
        return scale.entities * entity / scale.workers * 2

    def redis(self, scale: Scale) -> float:
        """Bytes of Redis, without replica."""
        return scale.entities * float(self.raw["redis_bytes_per_entity"]) * REDIS_HEADROOM

    def cores_at_peak(self, scale: Scale) -> float:
        """Processors that all workers together use at the peak."""
        return (
            self.per_second(scale)
            * PEAK
            * float(self.raw["cpu_us_per_event"]["stream_worker"])
            / 1e6
        )

    def history_hours(self, scale: Scale) -> float:
        """Hours to fold the history, each worker using one processor."""
        return self.events(scale) * self.event_seconds / scale.workers / 3600

    def recovery_hours(self, scale: Scale) -> float:
        """Hours until a worker with an empty disk has read its partitions."""
        records = scale.entities * float(self.raw["state_records_per_entity"]) / scale.workers
        return records / self.recovery_rate / 3600

    def rebuild_hours(self, scale: Scale) -> float:
        """Hours until one projection has filled an empty Redis."""
        per_event = float(self.raw["cpu_us_per_event"]["projection"]) / 1e6
        return self.events(scale) * per_event / 3600

    def network_at_peak(self, scale: Scale) -> float:
        """Bytes a second between brokers and everything else at the peak.

        In, to the other replicas, and out again: events to workers and intakes' indexes, state and
        timeline to the projection.
        """
        rate = self.per_second(scale) * PEAK
        event = float(self.raw["event_bytes_alone"])
        return rate * (event * (REPLICAS + 2) + self.outputs * (REPLICAS + 1))


def with_recovery_of(benchmarks: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the unit costs with the recovery of `RECOVERY_ROW`, where it was measured."""
    known = dict(costs)
    for row in benchmarks.get("rows", ()):
        if row["name"] == RECOVERY_ROW and row["valid"]:
            us_per_record = float(row["pairs"][0]["ours"]["value"])
            source = f"the benchmarks' row `{RECOVERY_ROW}`"
            known["recovery"] = {"records": 1e6, "seconds": us_per_record, "source": source}
    return known
