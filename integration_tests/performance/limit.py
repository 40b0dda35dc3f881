"""How long a run may take: no row is begun that would, by its usual time, end later."""

import time
from collections.abc import Callable

from integration_tests.performance.row import Row


class Limit:
    """Minutes from now."""

    def __init__(self, minutes: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = monotonic() + minutes * 60
        self._begun: list[Row] = []

    def has_room_for(self, row: Row) -> bool:
        """Whether a row may begin; rows measured from one run of the system take its time once."""
        shared = row.prepare is not None and any(r.prepare is row.prepare for r in self._begun)
        minutes = 0.0 if shared else row.minutes
        if self._monotonic() + minutes * 60 > self._until:
            return False
        self._begun.append(row)
        return True
