"""What features and rules may see of one entity: a read-only view at a moment of stream time.

Everything behind it is plain state; nothing here knows a clock, a broker or a store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2


class MatterView(NamedTuple):
    """One matter as folded from its slots, whether or not the entity's capped lists show it."""

    digest: state_pb2.MatterDigest
    licence: state_pb2.LicenceState | None
    penalty: state_pb2.PenaltyDigest | None
    inspections: tuple[state_pb2.InspectionDigest, ...]
    anchors: tuple[tuple[str, int], ...]
    """Dates that rules may wait for: (anchor, day since 1970-01-01), such as `licence_to_day`."""
    days: tuple[int, ...]
    """Civil days of its standing facts, sorted, without repeats."""


class EntityView(Protocol):
    """One entity at a moment."""

    @property
    def entity(self) -> state_pb2.EntityState:
        """The entity's state. Read-only."""
        ...

    @property
    def now_day(self) -> int:
        """Civil day of the stream time, in the zone of the key scheme (days since 1970)."""
        ...

    @property
    def now_ms(self) -> int:
        """Stream time, milliseconds since 1970 UTC."""
        ...

    def month(self, year: int, month: int) -> state_pb2.MonthBucket:
        """Day sums of a month; an empty bucket where nothing was counted."""
        ...

    def year(self, year: int) -> state_pb2.YearBucket:
        """Month sums of a year; an empty bucket where nothing was counted."""
        ...

    def matter(self, matter_id: str) -> MatterView | None:
        """One matter of the entity, or None where it is not known or all its facts are gone."""
        ...

    def thread(self, alert_id: str) -> state_pb2.AlertThread | None:
        """The thread of an alert of this entity, open or closed, or None."""
        ...

    def all_licences(self) -> Sequence[state_pb2.LicenceState]:
        """Licences of the entity, those beyond its capped list included."""
        ...

    def all_inspections(self) -> Sequence[state_pb2.InspectionDigest]:
        """Results of the entity, those beyond its capped list included."""
        ...

    def open_episodes_of(self, rule_id: str, matter_id: str) -> Sequence[str]:
        """Episode keys `matter:<id>…` of a rule's open alerts of a matter, sorted."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What made an evaluation necessary: one event folded, or one date that passed."""

    cause: alert_pb2.Cause
    event_type: str
    """`<family>.<arm>` of the event; for a date `due.<anchor>`."""
    matter_id: str
    days: tuple[int, ...]
    """Civil days whose picture may have changed: the fact's, before and after; or the due day."""
    withdrawn: bool
    """Whether the event took a fact back or moved it away."""
    standing: bool
    """Whether the fact is one whose effect is not bound to its day (of a licence, a listing, a
    registration): every later fact day is then looked at, whatever the rule's window."""
    event_type_before: str = ""
    """The event type that a corrected record had before; empty: none stood."""
    licence_type_before: str = ""
    """The type that a changed licence had before; empty: none known, or not a licence."""
