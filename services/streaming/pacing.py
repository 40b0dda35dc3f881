"""Share a worker's time between its partitions: turns for transactions, one thread for steps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Pacer:
    """Lets at most ``per_second`` units start in a second, with a burst of a tenth of that.

    A lone record is never delayed; at hundreds of single records a second their partitions wait a
    few milliseconds and gather, because every transaction costs the broker the same.
    """

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1.0 / per_second
        self._burst_s = 0.1
        self._next = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="step")

    async def compute(self, call: Callable[[], Result]) -> Result:
        """Run a step's call in the worker's one thread for steps, and return its result.

        On the event loop it would keep heartbeats of transactions and every other partition's
        network waiting for as long as it computes.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def turn(self) -> None:
        """Wait for the next free slot."""
        now = asyncio.get_running_loop().time()
        slot = max(self._next, now - self._burst_s)
        self._next = slot + self._interval_s
        if slot > now:
            await asyncio.sleep(slot - now)
