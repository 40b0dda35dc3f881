"""What one change makes a rule look at: which subjects, which days, which dates. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.reference.entity import SHOWN_ELSEWHERE, Matter, Picture
from integration_tests.judge.reference.licences import NO_END
from integration_tests.judge.rules.rows import Rule

STANDING_FAMILY = "registration"
"""Family of the facts whose effect is not bound to their day, whatever else their matter holds."""

DAY_COUNTERS: Mapping[str, int] = MappingProxyType(
    {
        "complaints.complaint_received": state_pb2.COUNTER_COMPLAINTS,
        "complaints.report_received": state_pb2.COUNTER_REPORTS,
        "inspections.adverse_reaction_reported": state_pb2.COUNTER_ADVERSE_REACTIONS,
        "inspections.inspection_completed": state_pb2.COUNTER_INSPECTIONS,
        "penalties.case_filed": state_pb2.COUNTER_CASES_FILED,
        "penalties.penalty_decided": state_pb2.COUNTER_PENALTIES,
        "penalties.penalty_exempted": state_pb2.COUNTER_EXEMPTIONS,
        "registration.abnormal_operations_listed": state_pb2.COUNTER_ABNORMAL_LISTINGS,
    }
)
"""Event types with a count of their own: days of others are days with any fact."""


@dataclass(frozen=True, slots=True)
class Change:
    """What made the rules look: an event that was applied, or a date that passed."""

    matter_id: str
    days: tuple[int, ...]
    """Civil days of the fact, before and after; of a licence that changed its type all its days."""
    standing: bool = False
    """Whether every later day is looked at, whatever the rule's window."""
    is_date: bool = False
    licence_type_before: str = ""


def anchors_of(matter: Matter | None) -> Iterator[tuple[str, int]]:
    """Yield the dates of a matter that rules may wait for."""
    if matter is None:
        return
    licence, course = matter.licence, matter.course
    if licence is not None and licence.terms and licence.to_day != NO_END:
        yield "licence_to_day", licence.to_day
    if course.due_day and course.kind not in SHOWN_ELSEWHERE:
        yield "matter_due_day", course.due_day


def subjects(rule: Rule, picture: Picture, change: Change) -> list[str]:
    """Return the matters a rule looks at; "" stands for the entity itself."""
    if rule.scope == "ENTITY":
        return [""]
    if rule.scope == "MATTER":
        return [change.matter_id]
    matter = picture.matters.get(change.matter_id)
    if matter is None:
        chosen = {change.matter_id} | {licence.matter_id for licence in picture.licences}
    elif matter.licence is None:
        chosen = {licence.matter_id for licence in picture.licences}
        if change.licence_type_before:
            # It was a licence until now: what was said of it has to be taken back.
            chosen.add(change.matter_id)
    else:
        types = {matter.licence.licence_type} | ({change.licence_type_before} - {""})
        alike = {held.matter_id for held in picture.licences if held.licence_type in types}
        chosen = {change.matter_id} | alike
    return sorted(chosen)


def fact_days(rule: Rule, picture: Picture, first: int, last: int) -> set[int]:
    """Return the days on which a fact of a kind that triggers the rule stands."""
    counters = {DAY_COUNTERS.get(t, state_pb2.COUNTER_FACTS) for t in rule.row["triggers"]}
    return {
        day
        for (day, counter, _code), amount in picture.sums.items()
        if amount and counter in counters and first <= day <= last
    }


def days_looked_at(
    rule: Rule, picture: Picture, change: Change, subject: str, now_day: int
) -> list[int]:
    """Return the days of which the rule asks whether its condition held at their end."""
    oldest = now_day - rule.max_age_days
    days: set[int] = set()
    for anchor, anchor_day in anchors_of(picture.matters.get(subject)):
        days |= {anchor_day + offset for name, offset in rule.due if name == anchor}
    days = {day for day in days if oldest <= day <= now_day}
    if change.days and not change.is_date:
        last = now_day + 1  # a fact may be dated a day ahead
        if not change.standing:
            last = min(last, max(change.days) + rule.window_days - 1)
        days |= fact_days(rule, picture, max(min(change.days), oldest), last)
    return sorted(day for day in days if rule.may_raise_on(day))
