"""What a fold handler works with: one standing fact, and the draft of its matter.

A matter is folded from scratch out of its slots, in the order of event time (ties: arm number, then
slot key). So the order in which events arrived, how often, and what was corrected in between cannot
matter: only the set of standing facts does.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from google.type.date_pb2 import Date
from market_supervision.common.v1.envelope_pb2 import CodedValue, EventEnvelope
from market_supervision.lifecycle.v1 import state_pb2

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
DaySums = dict[tuple[int, int, str], int]
"""(civil day, counter, code) → amount."""


class InvalidEventError(Exception):
    """An event that cannot be folded; it goes to the dead-letter topic with this reason."""

    def __init__(self, reason: str, en: str, zh: str) -> None:
        super().__init__(en)
        self.reason = reason
        self.en = en
        self.zh = zh


class Fact(NamedTuple):
    """One standing fact as the handlers see it."""

    envelope: EventEnvelope
    arm: str
    event_time_ms: int
    day: int
    """Civil day of the event in the zone of the entity key's scheme, days since 1970-01-01."""
    slot_key: str
    event_id: str
    matter_id: str


@dataclass(slots=True)
class Draft:
    """A matter while it is being folded; handlers set what their event type says."""

    kind: str = ""
    stage: str = ""
    open: bool = False
    outcome: str = ""
    due_day: int = 0
    listing: state_pb2.ListingState | None = None
    licence: state_pb2.LicenceState | None = None
    penalty: state_pb2.PenaltyDigest | None = None
    inspections: list[state_pb2.InspectionDigest] = field(default_factory=list)
    claims: list[state_pb2.AttributeClaim] = field(default_factory=list)
    status_facts: list[state_pb2.StatusFact] = field(default_factory=list)
    sums: DaySums = field(default_factory=dict)
    evidence_codes: dict[str, str] = field(default_factory=dict)
    """Slot key → code by which evidence may be chosen, such as the violation code."""

    def begin(self, kind: str, stage: str, *, due_day: int = 0) -> None:
        """Open the matter at a stage; the first kind stays."""
        self.kind = self.kind or kind
        self.stage, self.open, self.due_day = stage, True, due_day

    def advance(self, kind: str, stage: str, *, due_day: int = 0) -> None:
        """Move the matter to a stage without closing it; it is open from now on."""
        self.begin(kind, stage, due_day=due_day)

    def finish(self, kind: str, stage: str, outcome: str = "") -> None:
        """Close the matter at a stage with an outcome code."""
        self.kind = self.kind or kind
        self.stage, self.open, self.due_day, self.outcome = stage, False, 0, outcome

    def count(
        self, fact: Fact, counter: state_pb2.Counter.ValueType, amount: int = 1, code: str = ""
    ) -> None:
        """Count ``amount`` on the civil day of the fact."""
        key = (fact.day, counter, code)
        self.sums[key] = self.sums.get(key, 0) + amount

    def claim(
        self, fact: Fact, attribute: state_pb2.AttributeKind.ValueType, value: str, *, rank: int = 1
    ) -> None:
        """State an attribute of the entity; an empty value states nothing."""
        if value:
            self.claims.append(
                state_pb2.AttributeClaim(
                    attribute=attribute,
                    value=value,
                    event_time_ms=fact.event_time_ms,
                    day=fact.day,
                    slot_key=fact.slot_key,
                    event_id=fact.event_id,
                    rank=rank,
                )
            )


def content_error(field_name: str, en: str, zh: str) -> InvalidEventError:
    """The error of an event whose content is beyond what the state can hold."""
    return InvalidEventError("CONTENT_INVALID", f"{field_name}: {en}", f"{field_name}:{zh}")


def day_of_date(value: Date, field_name: str) -> int:
    """Days since 1970-01-01 of a calendar date; InvalidEventError when there is no such date."""
    try:
        return date(value.year, value.month, value.day).toordinal() - EPOCH_ORDINAL
    except ValueError as error:
        shown = f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
        raise InvalidEventError(
            "DATE_INVALID",
            f"{field_name}: {shown} is not a calendar date",
            f"{field_name}:{shown} 不是有效日期",
        ) from error


def coded(value: CodedValue) -> str:
    """Text form `code_system code` of a coded value; empty when none is given."""
    return f"{value.code_system} {value.code}" if value.code else ""


def enum_word(enum_type: object, value: int, prefix: str) -> str:
    """Lower-case word of an enum value without its prefix; empty for the unspecified one.

    A value that this release does not know is shown as its number, never dropped.
    """
    if value == 0:
        return ""
    try:
        name: str = enum_type.Name(value)  # type: ignore[attr-defined]
    except ValueError:
        return str(value)
    return name.removeprefix(prefix).lower()
