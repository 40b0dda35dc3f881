"""The view of one entity that rules are judged on, over the working set. Pure."""

from dataclasses import dataclass

from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.folding.contribution import DayOf
from services.lifecycle.view import MatterView
from services.lifecycle.working_set import WorkingSet

_NO_MONTH = state_pb2.MonthBucket()
_NO_YEAR = state_pb2.YearBucket()


@dataclass(frozen=True, slots=True)
class WorkingView:
    """Implements `view.EntityView`."""

    working: WorkingSet
    entity_key: str
    day_of: DayOf
    now_ms: int

    @property
    def entity(self) -> state_pb2.EntityState:
        """The entity's state. Read-only."""
        return self.working.entity(self.entity_key)

    @property
    def now_day(self) -> int:
        """Civil day of the stream time."""
        return self.day_of(self.now_ms)

    def month(self, year: int, month: int) -> state_pb2.MonthBucket:
        """Day sums of a month."""
        key = state_keys.month_bucket(self.entity_key, year, month)
        return self.working.read(key, state_pb2.MonthBucket) or _NO_MONTH

    def year(self, year: int) -> state_pb2.YearBucket:
        """Month sums of a year."""
        key = state_keys.year_bucket(self.entity_key, year)
        return self.working.read(key, state_pb2.YearBucket) or _NO_YEAR

    def matter(self, matter_id: str) -> MatterView | None:
        """One matter of the entity, or None."""
        return self.working.contribution(self.entity_key, matter_id, self.day_of).view

    def thread(self, alert_id: str) -> state_pb2.AlertThread | None:
        """The thread of an alert, or None."""
        key = state_keys.alert_thread(self.entity_key, alert_id)
        return self.working.read(key, state_pb2.AlertThread)
