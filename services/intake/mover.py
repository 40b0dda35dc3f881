"""Publishes the MOVED records that corrections call for (移出记录)."""

import asyncio
import heapq
import math
from collections.abc import Callable, Sequence
from typing import Final

from services.contracts.families import Family
from services.intake.index import IntakeIndex
from services.intake.moving import moved_record
from services.intake.placement import SourceKey, read_slot
from services.intake.publisher import Acknowledged, Publisher
from services.runtime.logging import get_logger

log = get_logger(__name__)

GRACE_SECONDS: Final = 3.0
"""How long an instance leaves a MOVED record to the one that took in what calls for it."""
RETRY_SECONDS: Final = 2.0
PENDING_PAGE: Final = 1_000
"""Slots left over from earlier runs, read at a time."""


class Mover:
    """Sees to it that no slot stands in two places for longer than it takes to say so.

    Whoever reads the two versions on the log does it: the instance that took the later of them in
    at once, the others only when it has not appeared after a while, and each at its start for what
    is left over. Publishing one twice does no harm: both have the same slot, version, id and
    content.
    """

    def __init__(
        self,
        family: Family,
        index: IntakeIndex,
        publisher: Publisher,
        *,
        now_ns: Callable[[], int],
        is_under_way: Callable[[SourceKey], bool],
    ) -> None:
        self._family = family
        self._index = index
        self._publisher = publisher
        self._now_ns = now_ns
        self._is_under_way = is_under_way
        self._due: list[tuple[float, bytes]] = []
        self._scheduled: dict[bytes, float] = {}
        self._news = asyncio.Event()

    def notice(self, slots: Sequence[bytes]) -> None:
        """Take note of slots that need a MOVED record."""
        for slot in slots:
            self._schedule(slot, 0.0 if self._is_own(slot) else GRACE_SECONDS)

    def _is_own(self, slot: bytes) -> bool:
        """Tell whether this instance took in the correction, or the late version it moves out."""
        system, record_id = read_slot(slot)
        return any(
            self._is_under_way(SourceKey(system, record_id, version))
            for move in self._index.moves(slot)
            for version in (move.version, move.place.version)
        )

    def _schedule(self, slot: bytes, delay_s: float) -> None:
        due = asyncio.get_running_loop().time() + delay_s
        if due < self._scheduled.get(slot, math.inf):
            self._scheduled[slot] = due
            heapq.heappush(self._due, (due, slot))
            self._news.set()

    async def run(self) -> None:
        """Settle what is left over from before, then what is noticed, until cancelled.

        Start it when the index has caught up with the log.
        """
        await self._settle_left_over()
        while True:
            self._news.clear()
            if not self._due:
                await self._news.wait()
                continue
            due, slot = self._due[0]
            wait_s = due - asyncio.get_running_loop().time()
            if wait_s > 0:
                await _either(self._news, wait_s)
                continue
            heapq.heappop(self._due)
            if self._scheduled.get(slot) == due:  # else it was settled earlier than first meant
                del self._scheduled[slot]
                await self._settle(slot)

    async def _settle_left_over(self) -> None:
        last = b""
        while slots := self._index.pending_slots(after=last, limit=PENDING_PAGE):
            for slot in slots:
                await self._settle(slot)
            last = slots[-1]

    async def _settle(self, slot: bytes) -> None:
        moves = self._index.moves(slot)
        if not moves:
            self._index.forget_pending(slot)
            return
        system, record_id = read_slot(slot)
        now_ns = self._now_ns()
        records = [
            moved_record(self._family, system, record_id, move, now_ns=now_ns) for move in moves
        ]
        results = await self._publisher.publish(records)
        if all(isinstance(result, Acknowledged) for result in results):
            # The mark goes when the tail reads them.
            log.info("moved_records_published", family=self._family.name, records=len(records))
        else:
            self._schedule(slot, RETRY_SECONDS)


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
