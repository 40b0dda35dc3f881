"""An entity: everything its matters come to, computed from all of them each time. Pure."""

from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.admission import Event
from integration_tests.judge.reference.counts import counts_of
from integration_tests.judge.reference.facts import Fact, standing
from integration_tests.judge.reference.licences import licence_of
from integration_tests.judge.reference.statements import (
    claims_of,
    evidence_code,
    listing_of,
    penalty_of,
    results_of,
    status_facts,
)
from integration_tests.judge.reference.steps import Course, course_of

SHOWN_ELSEWHERE = frozenset({"registration", "licence", "listing", ""})
"""Kinds of matters that have a section of their own."""


@dataclass(frozen=True)
class Matter:
    """One matter with at least one standing fact."""

    matter_id: str
    facts: Sequence[Fact]
    course: Course
    licence: state_pb2.LicenceState | None
    penalty: state_pb2.PenaltyDigest | None
    results: Sequence[state_pb2.InspectionDigest]

    @cached_property
    def sums(self) -> Multiset[tuple[int, int, str]]:
        """(day, counter, code) → amount."""
        return _sums(self.facts)

    @cached_property
    def entries(self) -> Mapping[str, Sequence[Any]]:
        """Name of an entity's list → the matter's entries in it."""
        return _entries(self)

    def digest(self) -> state_pb2.MatterDigest:
        """Return the matter in short."""
        return state_pb2.MatterDigest(
            matter_id=self.matter_id,
            kind=self.course.kind,
            stage=self.course.stage,
            open=self.course.open,
            opened_time_ms=self.facts[0].time_ms,
            last_time_ms=self.facts[-1].time_ms,
            outcome=self.course.outcome,
            due_day=self.course.due_day,
        )


@dataclass(slots=True)
class Picture:
    """One entity, uncapped."""

    entity_key: str
    matters: dict[str, Matter] = field(default_factory=dict)
    sums: Multiset[tuple[int, int, str]] = field(default_factory=Multiset)
    """(day, counter, code) → amount."""
    lists: dict[str, list[Any]] = field(default_factory=dict)
    """Name of the entity's list → all entries in its order."""
    summed_facts: Sequence[Fact] = ()
    """Facts pushed out of overflowed matters: they count, but state nothing any more."""

    @property
    def licences(self) -> list[state_pb2.LicenceState]:
        """All licences."""
        return self.lists["licences"]


Order = Callable[[Any], tuple[Any, ...]]

LISTS: Mapping[str, tuple[int, Order]] = MappingProxyType(
    {
        "claims": (3, lambda e: (e.attribute, e.rank, e.event_time_ms, e.slot_key)),
        "registration_facts": (16, lambda e: (e.event_time_ms, e.slot_key)),
        "listings": (8, lambda e: (e.listed_time_ms or e.removed_time_ms, e.matter_id)),
        "licences": (16, lambda e: (e.to_day, e.matter_id)),
        "matters": (10, lambda e: (e.open, e.last_time_ms, e.matter_id)),
        "inspections": (8, lambda e: (e.event_time_ms, e.slot_key)),
        "penalties": (8, lambda e: (e.decided_time_ms, e.matter_id)),
        "recent_facts": (12, lambda e: (e.event_time_ms, e.slot_key)),
    }
)
"""List → entries shown and their order; of claims so many for each attribute."""


def matter_of(matter_id: str, events: list[Event]) -> Matter | None:
    """Return a matter from the events that hold in its slots; None where no fact stands."""
    facts = standing(events)
    if not facts:
        return None
    return Matter(
        matter_id=matter_id,
        facts=facts,
        course=course_of(facts),
        licence=licence_of(facts),
        penalty=penalty_of(facts),
        results=list(results_of(facts)),
    )


def picture_of(
    entity_key: str, matters: Mapping[str, list[Event]], summed: list[Event] | None = None
) -> Picture:
    """Return an entity from the events that hold, by matter, and those that are only summed."""
    made = [matter_of(matter_id, matters[matter_id]) for matter_id in sorted(matters)]
    return assembled(entity_key, [matter for matter in made if matter is not None], summed or [])


def assembled(entity_key: str, matters: Iterable[Matter], summed: list[Event]) -> Picture:
    """Return an entity from all its matters, each made from all its facts."""
    picture = Picture(entity_key, summed_facts=standing(summed))
    picture.matters = {matter.matter_id: matter for matter in matters}
    for matter in picture.matters.values():
        picture.sums.update(matter.sums)
    picture.sums.update(_sums(picture.summed_facts))
    for name, (_shown, order) in LISTS.items():
        entries = [entry for matter in picture.matters.values() for entry in matter.entries[name]]
        picture.lists[name] = sorted(entries, key=order)
    return picture


def _sums(facts: Iterable[Fact]) -> Multiset[tuple[int, int, str]]:
    sums: Multiset[tuple[int, int, str]] = Multiset()
    for fact in facts:
        for counter, code, amount in counts_of(fact):
            sums[fact.day, counter, code] += amount
    return sums


def _entries(matter: Matter) -> dict[str, list[Any]]:
    listing = listing_of(matter.facts)
    is_listed = matter.course.kind not in SHOWN_ELSEWHERE
    return {
        "claims": [claim for fact in matter.facts for claim in claims_of(fact)],
        "registration_facts": status_facts(matter.facts),
        "listings": [] if listing is None else [listing],
        "licences": [] if matter.licence is None else [matter.licence],
        "matters": [matter.digest()] if is_listed else [],
        "inspections": list(matter.results),
        "penalties": [] if matter.penalty is None else [matter.penalty],
        "recent_facts": [_recent(fact) for fact in matter.facts],
    }


def _recent(fact: Fact) -> state_pb2.RecentFact:
    return state_pb2.RecentFact(
        event_id=fact.event.envelope.event_id,
        event_type=f"{fact.event.family}.{fact.arm}",
        event_time_ms=fact.time_ms,
        day=fact.day,
        matter_id=fact.event.matter_id,
        slot_key=fact.slot_key,
        code=evidence_code(fact),
    )


def totals_of(picture: Picture) -> Multiset[tuple[int, str]]:
    """Return (counter, code) → sum over all history, and of open matters by kind."""
    totals: Multiset[tuple[int, str]] = Multiset()
    for (_day, counter, code), amount in picture.sums.items():
        totals[counter, code] += amount
    for matter in picture.matters.values():
        if matter.course.open:
            totals[state_pb2.COUNTER_OPEN_MATTERS, matter.course.kind] += 1
    return totals


def shown(picture: Picture, name: str) -> tuple[list[Any], list[str]]:
    """Return what a list shows, and the labels under which it is noted as not shown in full."""
    cap, _order = LISTS[name]
    entries = picture.lists[name]
    if name != "claims":
        return entries[-cap:], [name] if len(entries) > cap else []
    kept: list[Any] = []
    labels = []
    for attribute in sorted({claim.attribute for claim in entries}):
        of_one = [claim for claim in entries if claim.attribute == attribute]
        kept += of_one[-cap:]
        if len(of_one) > cap:
            labels.append(f"claims/{attribute + (1 << 63):016x}")
    return kept, labels


def day_sums(picture: Picture) -> Iterator[tuple[int, int, str, int]]:
    """Yield (day, counter, code, amount), without sums of 0."""
    for (day, counter, code), amount in sorted(picture.sums.items()):
        if amount:
            yield day, counter, code, amount
