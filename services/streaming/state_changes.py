"""What changed in a worker since the last look: one log line a change, none an event.

Pure: looked at once a second with the times as arguments. It also tells each partition's health
for how long its oldest known record has been waiting.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.streaming.health import EngineHealth, PartitionHealth

RECOVERY_LINE_S = 10.0
"""A long recovery says how far it is this often."""


@dataclass(frozen=True, slots=True)
class Change:
    """A line for the log."""

    event: str
    fields: Mapping[str, Any]
    level: int = logging.INFO


@dataclass(slots=True)
class _Waiting:
    """What was on the broker when a partition was first seen not to have applied all of it."""

    ends: Mapping[str, int]
    since: float


class StateChanges:
    """Remembers what was said; a partition that swings round a limit is not said again and again.

    A partition has fallen behind when its oldest known record has waited ``behind_s``; it has
    caught up again when nothing has waited for a second.
    """

    def __init__(self, behind_s: float) -> None:
        self._behind_s = behind_s
        self._waiting: dict[int, _Waiting] = {}
        self._behind: dict[int, float] = {}
        self._holding: set[int] = set()
        self._recovery_said: float | None = None

    def look(self, health: EngineHealth, now: float, wall_ms: int) -> list[Change]:
        """Return what has changed since the last look, in the order in which to say it.

        ``now``: monotonic seconds; ``wall_ms``: milliseconds since 1970-01-01T00:00Z.
        """
        partitions = dict(health.partitions)
        open_now = {number: p for number, p in partitions.items() if p.ready}
        for number, partition in open_now.items():
            behind_s = self._waited(number, partition, now)
            if partition.oldest_ms:
                # What is at hand tells since when it waits, across restarts of the worker too.
                behind_s = max(behind_s, (wall_ms - partition.oldest_ms) / 1000)
            partition.behind_s = 0.0 if partition.following else behind_s
        for gone in self._waiting.keys() - open_now.keys():
            del self._waiting[gone]
        # What was taken away is somebody else's to report.
        self._holding &= open_now.keys()
        self._behind = {number: s for number, s in self._behind.items() if number in open_now}
        return [
            *self._recovery(health, partitions, now),
            *self._holds(open_now),
            *self._lags(open_now, now),
        ]

    def _waited(self, number: int, partition: PartitionHealth, now: float) -> float:
        waiting = self._waiting.get(number)
        if waiting is not None and _applied_all(partition, waiting.ends):
            del self._waiting[number]
            waiting = None
        if waiting is None:
            if not any(partition.lag(topic) for topic in list(partition.ends)):
                return 0.0
            waiting = self._waiting[number] = _Waiting(dict(partition.ends), now)
        return now - waiting.since

    def _recovery(
        self, health: EngineHealth, partitions: Mapping[int, PartitionHealth], now: float
    ) -> Iterable[Change]:
        if not health.recovering:
            self._recovery_said = None
        elif self._recovery_said is None:
            self._recovery_said = now
        elif now - self._recovery_said >= RECOVERY_LINE_S:
            self._recovery_said = now
            left = sum(p.restore.left for p in partitions.values())
            yield Change(
                "recovery_goes_on", {"records": health.restored_records, "offsets_left": left}
            )

    def _holds(self, partitions: Mapping[int, PartitionHealth]) -> Iterable[Change]:
        holding = {number for number, p in partitions.items() if p.holding}
        if begun := holding - self._holding:
            fields = {"partitions": sorted(begun), "waiting_for": "rule bundle"}
            yield Change("partitions_holding", fields, logging.WARNING)
        if over := self._holding - holding:
            yield Change("partitions_released", {"partitions": sorted(over)})
        self._holding = holding

    def _lags(self, partitions: Mapping[int, PartitionHealth], now: float) -> Iterable[Change]:
        def such(test: Callable[[int, PartitionHealth], bool]) -> list[int]:
            return sorted(number for number, p in partitions.items() if test(number, p))

        fallen = such(
            lambda n, p: n not in self._behind and not p.holding and p.behind_s >= self._behind_s
        )
        caught = such(lambda n, p: n in self._behind and p.behind_s < 1.0)
        if fallen:
            records = sum(partitions[n].lag(t) for n in fallen for t in partitions[n].ends)
            oldest_s = round(max(partitions[n].behind_s for n in fallen), 1)
            self._behind |= {number: now - partitions[number].behind_s for number in fallen}
            fields = {"partitions": fallen, "offsets_behind": records, "oldest_s": oldest_s}
            yield Change("partitions_fell_behind", fields, logging.WARNING)
        if caught:
            after_s = round(max(now - self._behind.pop(number) for number in caught), 1)
            yield Change("partitions_caught_up", {"partitions": caught, "after_s": after_s})


def _applied_all(partition: PartitionHealth, ends: Mapping[str, int]) -> bool:
    applied = partition.applied
    return all(
        topic in applied and applied[topic].next_offset >= end for topic, end in ends.items() if end
    )
