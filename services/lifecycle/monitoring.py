"""What the lifecycle worker shows its operators beyond the engine's own figures."""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime.logging import get_logger
from services.runtime.monitor import Condition, Probe
from services.streaming.health import EngineHealth

READY_LOOP_AGE_S = 10.0
"""A worker whose main loop has not turned for so long may have lost its partitions unnoticed."""
STORM_LETTERS = 50
"""So many dead letters within ``STORM_WINDOW_S`` are a storm: one line says so."""
STORM_WINDOW_S = 60.0

log = get_logger(__name__)


def probe(health: EngineHealth, watchdog_s: float) -> Probe:
    """Tell how the worker is: alive as its watchdog sees it, ready when all it owns is served."""

    def condition() -> Condition:
        age_s = max(0.0, time.monotonic() - health.loop_alive)
        partitions = dict(health.partitions)
        return Condition(
            live=age_s <= watchdog_s,
            ready=health.ready and age_s <= READY_LOOP_AGE_S,
            details={
                "state": health.state.value,
                "loop_age_seconds": round(age_s, 1),
                "answer_age_seconds": round(health.answer_age_s, 1),
                "partitions": sorted(partitions),
                "open": sorted(number for number, p in partitions.items() if p.ready),
                "holding": sorted(number for number, p in partitions.items() if p.holding),
                "restored_records": health.restored_records,
                "restore_offsets_left": sum(p.restore.left for p in partitions.values()),
                "behind_seconds": round(max((p.behind_s for p in partitions.values()), default=0)),
            },
        )

    return condition


class DeadLetters(Collector):
    """Counts dead letters by partition, and says when there are very many of them."""

    def __init__(self, health: EngineHealth, topic: str) -> None:
        self._health = health
        self._topic = topic
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._storm = False

    def collect(self) -> Iterable[Metric]:
        """Yield the counter."""
        family = CounterMetricFamily(
            "lifecycle_dead_letters", "Records that could not be folded.", labels=["partition"]
        )
        for number, totals in sorted(self._health.totals.items()):
            family.add_metric([str(number)], totals.written.get(self._topic, 0))
        yield family

    async def watch(self) -> None:
        """Look once a second; a line when a storm begins, and one when it is over."""
        self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Look at the time ``now``, in monotonic seconds."""
        total = sum(t.written.get(self._topic, 0) for t in self._health.totals.values())
        self._seen.append((now, total))
        while self._seen[0][0] < now - STORM_WINDOW_S:
            self._seen.popleft()
        recent = total - self._seen[0][1]
        if not self._storm and recent >= STORM_LETTERS:
            self._storm = True
            log.error("dead_letter_storm", letters=recent, within_s=STORM_WINDOW_S, total=total)
        elif self._storm and recent == 0:
            self._storm = False
            log.info("dead_letter_storm_over", total=total)


def status_writer(health: EngineHealth, path: Path) -> Callable[[], object]:
    """Return a coroutine function that writes the status file; readers see whole files only."""

    async def write_status() -> None:
        status = {
            "pid": os.getpid(),
            "ready": health.ready,
            "state": health.state.value,
            "generation": health.generation,
            "partitions": {
                str(number): {
                    "ready": part.ready,
                    "holding": part.holding,
                    "following": part.following,
                    "lag": {topic: part.lag(topic) for topic in part.ends},
                    "behind_seconds": round(part.behind_s, 1),
                    "records": part.records,
                    "unit": part.unit,
                    "unit_seconds": round(part.unit_s, 4),
                    "stream_time_ms": part.stream_time_ms,
                }
                for number, part in sorted(health.partitions.items())
            },
        }
        temporary = path.with_suffix(".writing")
        temporary.write_text(json.dumps(status))
        temporary.replace(path)

    return write_status
