"""The view of one entity that rules are judged on, over the working set. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.folding.contribution import DayOf
from services.lifecycle.local_index import OPEN_ALERTS, list_prefix
from services.lifecycle.rules.episodes import matter_episode
from services.lifecycle.view import MatterView
from services.lifecycle.working_set import WorkingSet

M = TypeVar("M", bound=Message)

LIST_ENTRIES_MAX = 1_000
"""Entries read of a list that the entity shows in part: the licences that run longest, the newest
results."""
OPEN_EPISODES_MAX = 1_000
"""Open alerts looked at for one rule and matter; a licence has one for each of its terms."""

_NO_MONTH = state_pb2.MonthBucket()
_NO_YEAR = state_pb2.YearBucket()


@dataclass(frozen=True, slots=True)
class WorkingView:
    """Implements `view.EntityView`."""

    working: WorkingSet
    entity_key: str
    day_of: DayOf
    now_ms: int
    _lists: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Whole lists read so far: a view serves one event, after it was folded."""

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

    def all_licences(self) -> Sequence[state_pb2.LicenceState]:
        """Licences of the entity, those beyond its capped list included."""
        return self._whole("licences", state_pb2.LicenceState)

    def all_inspections(self) -> Sequence[state_pb2.InspectionDigest]:
        """Results of the entity, those beyond its capped list included."""
        return self._whole("inspections", state_pb2.InspectionDigest)

    def _whole(self, name: str, kind: type[M]) -> Sequence[M]:
        entity = self.entity
        if name not in entity.truncated_lists:
            shown: Sequence[M] = getattr(entity, name)
            return shown
        if name not in self._lists:
            prefix = list_prefix(self.entity_key, name)
            found = self.working.scan(prefix, reverse=True, limit=LIST_ENTRIES_MAX)
            self._lists[name] = [kind.FromString(value) for _key, value in found]
        entries: Sequence[M] = self._lists[name]
        return entries

    def open_episodes_of(self, rule_id: str, matter_id: str) -> list[str]:
        """Episode keys of a rule's open alerts of a matter."""
        named = f"{rule_id}|{matter_episode(matter_id)}".encode()
        prefix = list_prefix(self.entity_key, OPEN_ALERTS)
        found = self.working.scan(prefix, named, limit=OPEN_EPISODES_MAX)
        references = [state_pb2.AlertReference.FromString(value) for _key, value in found]
        # The id of another matter may begin with this one.
        return [held.episode_key for held in references if held.matter_id == matter_id]
