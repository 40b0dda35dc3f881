"""How many records the next unit of a partition may have. Pure."""

from services.streaming.settings import EngineSettings

FIRST_RECORDS = 500
"""Limit before anything is known of the step."""
_GROWTH = 2


class UnitSize:
    """Keeps units below a time and a size: shrinks in proportion, grows by doubling.

    Large units cost less a record: a transaction is shared by more, and a state that many of them
    change is read and written once. Their bound is not their count but what the partitions share: a
    step takes the worker's one thread for steps, and its output the worker's memory.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self.records = min(FIRST_RECORDS, settings.unit_records)

    def learn(self, records: int, output_bytes: int, step_s: float) -> None:
        """Adapt to a unit of ``records`` whose step took ``step_s`` and made ``output_bytes``."""
        used = max(
            output_bytes / self._settings.unit_output_bytes, step_s / self._settings.unit_step_s
        )
        if used > 1:
            self.records = max(1, int(records / used))
        elif used * _GROWTH <= 1 and records * _GROWTH >= self.records:
            # A unit far from full tells nothing of one that is full.
            self.records = min(self._settings.unit_records, self.records * _GROWTH)
