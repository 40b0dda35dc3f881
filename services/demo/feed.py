"""Feeding a city through the intakes: its past at full speed, its present at a visible pace."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

from services.demo.season import Season, save_season
from services.importing import outcomes
from services.importing.delivery import Delivery
from services.importing.endpoints import Endpoints
from services.synthetic.city import City
from services.synthetic.records import Submission

UNDER_WAY_MAX = 1_000
"""Submissions without an outcome at once."""
PATIENCE_SECONDS = 60.0
SAVE_EVERY = 500


class FeedRefusedError(Exception):
    """An intake refused what the city sent: a defect of the one or the other (城市数据被拒收)."""


class Feed:
    """Sends a city's submissions in order and remembers how many are on the log."""

    def __init__(self, season: Season, city: City, file: Path) -> None:
        """Describe the feed of the season's ``city``; its position is kept in ``file``."""
        self.season = season
        self.city = city
        self.accepted: Counter[str] = Counter()
        """Receipts of this run by family."""
        self.day: date | None = None
        """Day of the city that was sent last."""
        self._file = file
        self._settled: set[int] = set()
        self._refused: list[str] = []

    @property
    def total(self) -> int:
        """Number of the city's submissions."""
        return len(self.city.submissions)

    @property
    def past_total(self) -> int:
        """Number of submissions before the city's present."""
        begins = self.city.arguments.present_begins
        return sum(s.arrives.date() < begins for s in self.city.submissions)

    @property
    def finished(self) -> bool:
        """Whether everything is on the log."""
        return self.season.delivered >= self.total

    async def past(self, endpoints: Endpoints) -> None:
        """Send what remains of the past, as fast as the intakes take it."""
        end = self.past_total
        if self.season.delivered < end:
            async with Delivery(endpoints, patience_s=PATIENCE_SECONDS) as delivery:
                for number in range(self.season.delivered, end):
                    self._send(delivery, number)
                    if number % SAVE_EVERY == 0:
                        self._remember()
                    await self._wait_until_under_way(delivery, UNDER_WAY_MAX, number + 1)
                await self._wait_until_under_way(delivery, 0, end)
                await delivery.finish()
            self._remember()

    async def present(self, endpoints: Endpoints, per_second: float) -> None:
        """Send what remains of the present, ``per_second`` submissions a second."""
        loop = asyncio.get_running_loop()
        async with Delivery(endpoints, patience_s=PATIENCE_SECONDS) as delivery:
            first, began = self.season.delivered, loop.time()
            for number in range(first, self.total):
                due = began + (number - first) / per_second
                await asyncio.sleep(max(0.0, due - loop.time()))
                self._send(delivery, number)
                await self._wait_until_under_way(delivery, 0, number + 1)
                self._remember()
            await delivery.finish()

    def _send(self, delivery: Delivery, number: int) -> None:
        submission = self.city.submissions[number]
        self.day = submission.arrives.date()
        delivery.submit(
            submission.family, number, submission.event, self._on_final(number, submission)
        )

    def _on_final(self, number: int, submission: Submission) -> Callable[[outcomes.Final], None]:
        def settled(final: outcomes.Final) -> None:
            if isinstance(final, outcomes.Refused):
                why = "; ".join(f"{p.column}: {p.reason.en}" for p in final.problems)
                self._refused.append(f"{submission.source_key}: {why}")
            self.accepted[submission.family] += 1
            self._settled.add(number)

        return settled

    async def _wait_until_under_way(self, delivery: Delivery, bound: int, sent: int) -> None:
        while True:
            if self._refused:
                raise FeedRefusedError(self._refused[0])
            self._advance()
            if sent - self.season.delivered - len(self._settled) <= bound:
                return
            await delivery.changed()

    def _advance(self) -> None:
        """Count what is settled without a gap; the rest would be sent again by the next run."""
        delivered = self.season.delivered
        while delivered in self._settled:
            self._settled.remove(delivered)
            delivered += 1
        self.season = replace(self.season, delivered=delivered)

    def _remember(self) -> None:
        self._advance()
        save_season(self._file, self.season)
