"""One shared tail of the alerts topic, fanned out to subscribers through bounded queues."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from market_supervision.alerts.v1.alert_pb2 import Alert

from services.profiles.alert_log import AlertBatch, AlertItem, AlertReader, caught_up
from services.profiles.cursor import Positions
from services.runtime.logging import get_logger

log = get_logger(__name__)


class Delivery(NamedTuple):
    """Matching records, and the positions once they are delivered."""

    items: tuple[AlertItem, ...]
    positions: Positions


class Subscriber:
    """One subscriber's place on the shared tail.

    ``positions``: everything before them is queued, delivered, or did not match. When the queue is
    full the subscriber falls behind: he gets nothing more from the tail, and goes on from there
    with a reader of his own.
    """

    def __init__(
        self, matches: Callable[[Alert], bool], positions: Positions, queue_messages_max: int
    ) -> None:
        self._matches = matches
        self._queue: deque[Delivery] = deque()
        self._queue_messages_max = queue_messages_max
        self._news = asyncio.Event()
        self.positions = positions
        self.behind = False

    def offer(self, batch: AlertBatch) -> None:
        """Queue what matches of the tail's next batch, or fall behind. Never waits."""
        items = select(batch, self._matches, self.positions)
        if items and len(self._queue) >= self._queue_messages_max:
            self.behind = True
            self._news.set()
            return
        # He may have read further than the tail before he joined it.
        self.positions = tuple(map(max, self.positions, batch.positions))
        if items:
            self._queue.append(Delivery(items, self.positions))
            self._news.set()

    def wake(self) -> None:
        """End a wait for news."""
        self._news.set()

    async def next(self, timeout_seconds: float) -> Delivery | None:
        """Return the next delivery; None when there is none in time, or he fell behind."""
        if not self._queue and not self.behind:
            self._news.clear()
            # What is offered just as the time is up counts: None means that all up to ``positions``
            # is delivered.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), timeout_seconds)
        return self._queue.popleft() if self._queue else None


class WatchHub:
    """Reads the tail and offers every batch to all subscribers; none of them can hold it up."""

    def __init__(self, tail: AlertReader, positions: Positions) -> None:
        self._tail = tail
        self._subscribers: set[Subscriber] = set()
        self.positions = positions
        self.closing = False
        self.fell_behind = 0

    @property
    def subscribers(self) -> int:
        """How many are on the tail."""
        return len(self._subscribers)

    async def run(self) -> None:
        """Read until cancelled. An error of the log is raised: the process ends with it."""
        while True:
            batch = await self._tail.poll()
            self.positions = batch.positions
            for subscriber in tuple(self._subscribers):
                subscriber.offer(batch)
                if subscriber.behind:
                    self._subscribers.discard(subscriber)
                    self.fell_behind += 1
                    log.info("subscriber_behind", subscribers=len(self._subscribers))

    def join(self, subscriber: Subscriber) -> bool:
        """Put a subscriber on the tail if he has read as far as it has; else change nothing."""
        if not caught_up(subscriber.positions, self.positions):
            return False
        self._subscribers.add(subscriber)
        return True

    def leave(self, subscriber: Subscriber) -> None:
        """Take a subscriber off the tail; no error when he is not on it."""
        self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End all watches: the server stops."""
        self.closing = True
        for subscriber in self._subscribers:
            subscriber.wake()


def select(
    batch: AlertBatch, matches: Callable[[Alert], bool], positions: Positions
) -> tuple[AlertItem, ...]:
    """Return the records of a batch that match and lie at or behind the positions."""
    return tuple(
        item
        for item in batch.items
        if item.offset >= positions[item.partition] and matches(item.record.alert)
    )
