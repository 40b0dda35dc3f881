"""The one place that asks the machine what time it is; pure code gets time as an argument."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time with a zone."""


def utc_now() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """Return the machine's time in milliseconds since 1970-01-01T00:00Z, as Kafka counts it."""
    return time.time_ns() // 1_000_000
