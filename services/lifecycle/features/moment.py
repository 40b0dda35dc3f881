"""One entity at the end of one civil day, as the functions of the catalogue see it. Pure."""

from collections.abc import Iterator
from functools import cached_property

from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.licence_standing import UNKNOWN, LicenceStanding, standing_of
from services.lifecycle.features.windows import window_sum, window_sums
from services.lifecycle.view import EntityView, MatterView


class Moment:
    """An entity, and where asked for one of its matters, at the end of a day.

    What several features share is read once. Obligation of callers: a moment does not outlive the
    event it was made for, because the view under it changes.
    """

    def __init__(self, view: EntityView, day: int, matter_id: str | None = None) -> None:
        self.view = view
        self.day = day
        self.matter_id = matter_id
        self._sums: dict[tuple[int, int], dict[str, int]] = {}

    @property
    def entity(self) -> state_pb2.EntityState:
        """The entity's state, read-only."""
        return self.view.entity

    def count(self, counter: state_pb2.Counter.ValueType, length_days: int) -> int:
        """Sum of a counter over the days that end with this one."""
        return sum(self.sums(counter, length_days).values())

    def sums(self, counter: state_pb2.Counter.ValueType, length_days: int) -> dict[str, int]:
        """Sums of a counter by code over the days that end with this one."""
        key = (counter, length_days)
        if key not in self._sums:
            self._sums[key] = window_sums(self.view, counter, self.day, length_days)
        return self._sums[key]

    def count_before(
        self, counter: state_pb2.Counter.ValueType, skipped_days: int, length_days: int
    ) -> int:
        """Sum over the ``length_days`` days before the last ``skipped_days``."""
        return window_sum(self.view, counter, self.day - skipped_days, length_days)

    @cached_property
    def matter(self) -> MatterView | None:
        """The matter under examination, None where there is none or all its facts are gone."""
        return None if self.matter_id is None else self.view.matter(self.matter_id)

    @cached_property
    def licence(self) -> state_pb2.LicenceState | None:
        """The licence under examination."""
        if self.matter_id is None:
            return None
        for licence in self.view.all_licences():
            if licence.matter_id == self.matter_id:
                return licence
        return None if self.matter is None else self.matter.licence

    @cached_property
    def standing(self) -> LicenceStanding:
        """Standing of that licence on the day."""
        return UNKNOWN if self.licence is None else standing_of(self.licence, self.day)

    @cached_property
    def latest_result(self) -> state_pb2.InspectionDigest | None:
        """Latest inspection or sample result of the matter up to the day."""
        if self.matter is None:
            return None
        known = (result for result in self.matter.inspections if result.day <= self.day)
        return max(known, key=lambda result: (result.event_time_ms, result.slot_key), default=None)

    @cached_property
    def last_inspection(self) -> state_pb2.InspectionDigest | None:
        """Entity's last inspection with a recorded result up to the day."""
        known = (
            result
            for result in self.view.all_inspections()
            if result.kind == "inspection" and result.result and result.day <= self.day
        )
        return max(known, key=lambda result: (result.event_time_ms, result.slot_key), default=None)

    def standing_listings(self) -> Iterator[state_pb2.ListingState]:
        """Listings on the abnormal-operations list that stand at the end of the day."""
        for listing in self.entity.listings:
            removed = listing.removed_time_ms and listing.removed_day <= self.day
            if listing.listed_time_ms and listing.listed_day <= self.day and not removed:
                yield listing

    def claim(self, attribute: state_pb2.AttributeKind.ValueType) -> str:
        """Value of the attribute that held at the end of the day; empty where none is known."""
        known = (c for c in self.entity.claims if c.attribute == attribute and c.day <= self.day)
        winner = max(known, key=lambda c: (c.rank, c.event_time_ms, c.slot_key), default=None)
        return "" if winner is None else winner.value
