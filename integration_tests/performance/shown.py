"""Tell on the terminal how far something long is, and how much longer it will take."""

import time
from collections.abc import Callable

EVERY_SECONDS = 10.0
FORESEEN_PART = 20
"""Of the whole must be done before it is said how much longer it will take."""


class Shown:
    """At most one line every ten seconds; the last when all is done."""

    def __init__(
        self, what: str, whole: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._whole, self._monotonic = what, whole, monotonic
        self._began = self._told = monotonic()
        self._is_over = False

    def at(self, done: int) -> None:
        """Say that so much of it is done."""
        now = self._monotonic()
        is_last = done >= self._whole
        if self._is_over or (now - self._told < EVERY_SECONDS and not is_last):
            return
        self._told, self._is_over = now, is_last
        print(self._line(done, now - self._began), flush=True)  # noqa: T201

    def _line(self, done: int, seconds: float) -> str:
        line = f"  {self._what}: {done:,} of {self._whole:,} after {seconds:,.0f} s"
        if self._whole // FORESEEN_PART <= done < self._whole and done > 0:
            line += f", about {seconds * (self._whole - done) / done / 60:.0f} min to go"
        return line
