"""What the screen measures: rates at the door, lag of stream and view."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.contracts import topics
from services.contracts.families import FAMILIES
from services.contracts.topics import PARTITIONS
from services.readmodel import freshness
from services.readmodel.errors import NotReadyError
from services.readmodel.reader import ReadModelReader

RATE_SECONDS = 5.0
UNKNOWN = -1


class RateMeter:
    """Events a second by family, over the last five seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Counter[str]]] = deque()

    def read(self, now: float, totals: Mapping[str, int]) -> dict[str, float]:
        """Take a reading of growing totals at ``now``, monotonic seconds; return the rates."""
        self._readings.append((now, Counter(totals)))
        while now - self._readings[0][0] > RATE_SECONDS:
            self._readings.popleft()
        began, before = self._readings[0]
        span = max(now - began, 1.0)
        names = [family.name for family in FAMILIES]
        return {name: (totals.get(name, 0) - before[name]) / span for name in names}


@dataclass(frozen=True, slots=True)
class Lag:
    """Records that exist but are not taken in yet, summed over partitions; -1: not known."""

    stream: int
    """Not yet folded by the stream."""
    view: int
    """Not yet in what a query answers."""


def stream_lag(partitions: Mapping[str, Any]) -> int:
    """Return the stream's lag by what its worker tells; -1 before it knows all ends."""
    if len(partitions) < PARTITIONS:
        return UNKNOWN
    event_topics = {topics.name(family.topic) for family in FAMILIES}
    if any(event_topics - partition["lag"].keys() for partition in partitions.values()):
        return UNKNOWN
    return sum(
        partition["lag"][topic] for partition in partitions.values() for topic in event_topics
    )


async def view_lag(reader: ReadModelReader, since_ms: int = 0) -> int:
    """Return the lag of what queries answer; -1 while that is not known.

    Not known, too, while the sources' ends were asked for before ``since_ms``: a gauge that was
    read before the last record was sent says nothing about it.
    """
    try:
        readings = await asyncio.gather(
            *(reader.partition_freshness(number) for number in range(PARTITIONS))
        )
    except NotReadyError:
        return UNKNOWN
    if any(reading.heads is None or reading.heads.asked_ms < since_ms for reading in readings):
        return UNKNOWN
    lags = [
        freshness.of_topic(reading, topics.name(family.topic)).lag_records
        for reading in readings
        for family in FAMILIES
    ]
    return UNKNOWN if UNKNOWN in lags else sum(lags)
