"""The demonstration itself: past, present, screen, until it is stopped (演示流程)."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_supervision.alerts.v1.alert_pb2 import AlertRecord, AlertTransition
from redis.asyncio import Redis

from services.demo.alerts import watch
from services.demo.feed import Feed
from services.demo.gauges import Lag, RateMeter, stream_lag, view_lag
from services.demo.hints import hints
from services.demo.screen import Screen, View
from services.demo.stack import Stack
from services.importing.endpoints import Endpoints
from services.readmodel.reader import ReadModelReader
from services.runtime import clock
from services.runtime.shutdown import stop_event

SHOW_EVERY_SECONDS = 0.5
CATCH_UP_SECONDS = 120.0
LAST_ALERTS_SECONDS = 3.0
PAST = "1/2 载入历史 / loading the past"
PRESENT = "2/2 时间压缩播放近况 / present, in time-lapse"
CAUGHT_UP = "已播完，系统继续运行；Ctrl-C 停止 / all fed, still running; Ctrl-C stops"


@dataclass(slots=True)
class Demonstration:
    """One run over services that are up."""

    stack: Stack
    feed: Feed
    screen: Screen
    per_second: float
    example: Path
    stay: bool
    """Go on after everything was fed, until stopped."""
    view: View = field(default_factory=lambda: View(phase=PRESENT))
    rates: RateMeter = field(default_factory=RateMeter)
    first_alert_at: float | None = None
    """Monotonic seconds at which the first alert was seen."""
    reader: ReadModelReader | None = None
    """Set while it runs."""

    async def run(self) -> None:
        """Feed and show until Ctrl-C, or until all is fed; raises when a service is lost."""
        stopping = stop_event()
        async with Redis.from_url(self.stack.redis) as redis:
            self.reader = ReadModelReader(redis)
            work = self._start(self._tell_the_city())
            others = [
                self._start(watch(self.stack.addresses()["profiles"], self._on_record)),
                self._start(self._look_after()),
                self._start(stopping.wait()),
            ]
            try:
                done, _ = await asyncio.wait([work, *others], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (work, *others):
                    task.cancel()
                await asyncio.gather(work, *others, return_exceptions=True)

    @staticmethod
    def _start(coroutine: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
        return asyncio.create_task(coroutine)

    async def _tell_the_city(self) -> None:
        endpoints = Endpoints(self.stack.addresses(), "this run")
        if self.feed.season.delivered < self.feed.past_total:
            self.view.phase = PAST
        await self.feed.past(endpoints)
        await self._caught_up()
        self.view.phase = PRESENT
        await self.feed.present(endpoints, self.per_second)
        await self._caught_up()
        self.view.phase = CAUGHT_UP
        if self.stay:
            await asyncio.Event().wait()
        # The alerts come by a way of their own, and may be a moment behind the view.
        await asyncio.sleep(LAST_ALERTS_SECONDS)

    async def _caught_up(self) -> None:
        """Wait until everything sent can be seen; TimeoutError after two minutes."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        sent_ms = int(clock.utc_now().timestamp() * 1000)
        while (lag := await self._lag(sent_ms)) != Lag(0, 0):
            if time.monotonic() > deadline:
                message = f"not caught up after {CATCH_UP_SECONDS:.0f} s: {lag} (处理未跟上)"
                raise TimeoutError(message)
            await asyncio.sleep(SHOW_EVERY_SECONDS)

    async def _lag(self, since_ms: int = 0) -> Lag:
        assert self.reader is not None
        view = await view_lag(self.reader, since_ms)
        return Lag(stream_lag(self.stack.partitions()), view)

    async def _look_after(self) -> None:
        while True:
            for ended in self.stack.check():
                self.screen.note(f"{ended.name} exited with {ended.exit_code}, starting it again")
            feed, view, now = self.feed, self.view, time.monotonic()
            view.day, view.total, view.delivered = feed.day, feed.total, feed.season.delivered
            view.accepted, view.rates = feed.accepted, self.rates.read(now, feed.accepted)
            view.lag = await self._lag()
            self.screen.show(view, now)
            await asyncio.sleep(SHOW_EVERY_SECONDS)

    def _on_record(self, record: AlertRecord) -> None:
        if record.transition == AlertTransition.ALERT_TRANSITION_CLOSED:
            self.view.closed += 1
        else:
            self.view.raised += 1
        self.screen.alert(record)
        if self.first_alert_at is None:
            self.first_alert_at = time.monotonic()
            self.screen.note(hints(record.alert.entity_key, self.example))
