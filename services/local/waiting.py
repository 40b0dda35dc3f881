"""Wait for something to become true, with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

INTERVAL_SECONDS = 0.05


def poll_until(
    condition: Callable[[], Result],
    *,
    timeout_seconds: float = 10.0,
    what: str = "the condition",
    interval_seconds: float = INTERVAL_SECONDS,
) -> Result:
    """Call ``condition`` until its result is true, and return that result.

    Raises TimeoutError naming ``what`` and the last result. The condition is always called once
    more after the time has passed, so a slow machine fails only when it is really not true.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        late = time.monotonic() >= deadline
        result = condition()
        if result:
            return result
        if late:
            message = f"{what}: not within {timeout_seconds} s; last seen: {result!r}"
            raise TimeoutError(message)
        time.sleep(interval_seconds)
