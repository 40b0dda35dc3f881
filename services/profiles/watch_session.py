"""One watch from its first message to its end: the past by a reader of its own, then the tail."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from market_supervision.alerts.v1.alert_pb2 import Alert

from services.profiles.alert_log import AlertItem, AlertLog
from services.profiles.cursor import Positions
from services.profiles.settings import WatchSettings
from services.profiles.watch_hub import Subscriber, WatchHub, select
from services.runtime.errors import NotReadyError

Send = Callable[[Sequence[AlertItem], Positions], Awaitable[None]]
"""Sends records (none: a checkpoint) with the positions after them; waits for the subscriber."""


class WatchSession:
    """Delivers to one subscriber everything that matches, from positions on, once, in order.

    At most one batch of his own reader and ``queue_messages_max`` deliveries of the tail wait for
    him at any time.
    """

    def __init__(
        self,
        hub: WatchHub,
        log: AlertLog,
        reader_slots: asyncio.Semaphore,
        settings: WatchSettings,
        *,
        matches: Callable[[Alert], bool],
        positions: Positions,
        send: Send,
    ) -> None:
        self._hub = hub
        self._log = log
        self._reader_slots = reader_slots
        self._settings = settings
        self._matches = matches
        self._positions = positions
        self._send = send
        self._sent_at = 0.0
        self._subscriber = self._new_subscriber()

    async def run(self) -> None:
        """Deliver until cancelled; raises what ``send`` raises, and NotReadyError at shutdown."""
        # The first message gives a cursor before anything can go wrong.
        await self._deliver((), self._positions)
        try:
            while True:
                if not self._join():
                    await self._catch_up()
                await self._follow(self._subscriber)
        finally:
            self._hub.leave(self._subscriber)

    async def _follow(self, subscriber: Subscriber) -> None:
        """Deliver from the tail until the subscriber falls behind it."""
        while True:
            delivery = await subscriber.next(self._until_checkpoint())
            self._check_open()
            if delivery is not None:
                await self._deliver(delivery.items, delivery.positions)
            elif subscriber.behind:
                self._positions = subscriber.positions
                return
            elif self._until_checkpoint() == 0:
                # Nothing is queued, so all up to the tail's positions is delivered.
                await self._deliver((), subscriber.positions)

    async def _catch_up(self) -> None:
        """Read on alone, a turn at a time, until the tail is reached and joined."""
        while True:
            async with self._reader_slot():
                joined, sending = await self._read_a_turn()
            # A slow subscriber is waited for without a reader, which others can use meanwhile.
            if sending is not None:
                await sending
            if joined:
                return

    async def _read_a_turn(self) -> "tuple[bool, asyncio.Task[None] | None]":
        """Read and deliver until joined or the turn is over; return a delivery still under way."""
        over = time.monotonic() + self._settings.reader_turn_seconds
        reader = await self._log.open(self._positions)
        try:
            while time.monotonic() < over:
                batch = await reader.poll()
                self._check_open()
                items = select(batch, self._matches, self._positions)
                if items or self._until_checkpoint() == 0:
                    sending = asyncio.create_task(self._deliver(items, batch.positions))
                    if not await _ended(sending, over - time.monotonic()):
                        return False, sending
                self._positions = batch.positions
                if self._join():
                    return True, None
            return False, None
        finally:
            await reader.stop()

    @asynccontextmanager
    async def _reader_slot(self) -> AsyncIterator[None]:
        """Wait for a turn to read alone, with checkpoints meanwhile."""
        turn = asyncio.ensure_future(self._reader_slots.acquire())
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=self._until_checkpoint())
                self._check_open()
                if not turn.done() and self._until_checkpoint() == 0:
                    await self._deliver((), self._positions)
            yield
        finally:
            if not turn.cancel():
                self._reader_slots.release()

    def _join(self) -> bool:
        self._subscriber = self._new_subscriber()
        return self._hub.join(self._subscriber)

    def _new_subscriber(self) -> Subscriber:
        return Subscriber(self._matches, self._positions, self._settings.queue_messages_max)

    async def _deliver(self, items: Sequence[AlertItem], positions: Positions) -> None:
        await self._send(items, positions)
        self._positions = positions
        self._sent_at = time.monotonic()

    def _until_checkpoint(self) -> float:
        elapsed = time.monotonic() - self._sent_at
        return max(0.0, self._settings.checkpoint_seconds - elapsed)

    def _check_open(self) -> None:
        if self._hub.closing:
            raise NotReadyError(
                "the server stops; resume with the last cursor",
                "服务正在停止，请用最后的游标续订",
            )


async def _ended(sending: "asyncio.Task[None]", timeout_seconds: float) -> bool:
    """Wait for a delivery for some time; raise what it raised, and end it when cancelled."""
    try:
        await asyncio.wait({sending}, timeout=max(0.0, timeout_seconds))
    except asyncio.CancelledError:
        sending.cancel()
        raise
    if sending.done():
        sending.result()
    return sending.done()
