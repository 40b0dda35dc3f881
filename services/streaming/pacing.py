"""Pace the transactions of a worker, so that under load units grow instead of multiplying."""

import asyncio


class Pacer:
    """Lets at most ``per_second`` units start in a second, with a burst of a tenth of that.

    A lone record is never delayed; at hundreds of single records a second their partitions wait a
    few milliseconds and gather, because every transaction costs the broker the same.
    """

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1.0 / per_second
        self._burst_s = 0.1
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next free slot."""
        now = asyncio.get_running_loop().time()
        slot = max(self._next, now - self._burst_s)
        self._next = slot + self._interval_s
        if slot > now:
            await asyncio.sleep(slot - now)
