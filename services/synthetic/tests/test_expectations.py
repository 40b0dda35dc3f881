"""What the stories expect is what a plain count over all days finds, and nothing else.

The count below reads the submissions alone. It looks at every day, not only at days with facts, so
that it finds the same threads whichever days an engine chooses to look at.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta

import pytest
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.inspections.v1 import inspections_events_pb2 as inspection

from services.contracts.families import FamilyEvent, arm_of
from services.synthetic.chronicle import Chronicle
from services.synthetic.city import City, CityArguments, build_city
from services.synthetic.days import CITY_ZONE
from services.synthetic.entities import RESTAURANT
from services.synthetic.expectations import (
    CANTEEN_FAILURE,
    COMPLAINT_BURST,
    LICENCE_EXPIRING,
    REPEAT_VIOLATOR,
    UNLICENSED_TRADING,
    AlertEnd,
    matter_episode,
    month_episode,
    term_episode,
    year_episode,
)
from services.synthetic.records import Submission

RULES = {
    COMPLAINT_BURST,
    REPEAT_VIOLATOR,
    CANTEEN_FAILURE,
    UNLICENSED_TRADING,
    LICENCE_EXPIRING,
}
PRESENTS = [
    date(2026, 1, 3),
    date(2026, 1, 15),
    date(2026, 2, 28),
    date(2026, 3, 2),
    date(2026, 7, 20),
    date(2026, 11, 22),
    date(2026, 12, 31),
    date(2028, 2, 29),
]
CANTEENS = {
    inspection.PLACE_TYPE_SCHOOL_CANTEEN,
    inspection.PLACE_TYPE_KINDERGARTEN_CANTEEN,
}
Thread = tuple[str, str, str]
"""Rule, entity key, episode key."""


def _day(event: FamilyEvent) -> date:
    return event.envelope.event_time.ToDatetime(CITY_ZONE).date()


def _within(days: list[date], last: date, length: int) -> int:
    """Count the days among the `length` ones ending with `last`."""
    return sum(0 <= (last - day).days < length for day in days)


def _standing(submissions: Iterable[Submission]) -> dict[str, list[FamilyEvent]]:
    latest: dict[tuple[str, str], FamilyEvent] = {}
    for submission in submissions:
        envelope = submission.event.envelope
        latest[envelope.source_system, envelope.source_record_id] = submission.event
    by_entity = defaultdict(list)
    for event in latest.values():
        if event.envelope.disposition == DISPOSITION_ASSERTED:
            key = event.envelope.entity_key
            by_entity[f"{key.scheme}:{key.value}"].append(event)
    return by_entity


def _bursts(events: list[FamilyEvent], present: date) -> set[str]:
    days = [_day(e) for e in events if arm_of(e) == "complaint_received"]
    found = set()
    for day in {d + timedelta(days=n) for d in days for n in range(7)}:
        week = _within(days, day, 7)
        before = _within(days, day - timedelta(days=7), 90)
        if day <= present and week >= max(5, 3 * before * 7 / 90):
            found.add(month_episode(day))
    return found


def _repeats(events: list[FamilyEvent], present: date) -> set[str]:
    by_code = defaultdict(list)
    for event in events:
        if arm_of(event) == "penalty_decided":
            by_code[event.penalty_decided.violation.code].append(_day(event))  # type: ignore[union-attr]
    found = set()
    for days in by_code.values():
        for day in {d + timedelta(days=n) for d in days for n in range(365)}:
            if day <= present and _within(days, day, 365) >= 2:
                found.add(year_episode(day))
    return found


def _canteens(events: list[FamilyEvent]) -> set[str]:
    return {
        matter_episode(event.envelope.matter_id)
        for event in events
        if arm_of(event) == "inspection_completed"
        and event.inspection_completed.place_type in CANTEENS  # type: ignore[union-attr]
        and event.inspection_completed.result == inspection.INSPECTION_RESULT_FAIL  # type: ignore[union-attr]
    }


class _Licence:
    def __init__(self) -> None:
        self.type_code = ""
        self.first = date.max
        self.last = date.min
        self.ended = date.max

    def valid(self, day: date) -> bool:
        return self.first <= day <= self.end

    @property
    def end(self) -> date:
        return min(self.last, self.ended)

    def outlasts(self, other: "_Licence", day: date) -> bool:
        """Whether it is held, or follows without a gap, when the other one comes to its end."""
        return (
            self is not other
            and self.type_code == other.type_code
            and self.first <= max(day, other.end + timedelta(days=1))
            and self.end > other.end
        )


def _licences(events: list[FamilyEvent]) -> dict[str, _Licence]:
    licences: dict[str, _Licence] = defaultdict(_Licence)
    for event in events:
        arm = arm_of(event) or ""
        licence = licences[event.envelope.matter_id]
        if arm in {"licence_granted", "licence_renewed"}:
            body = getattr(event, arm)
            until = body.valid_until_date
            licence.type_code = body.licence.licence_type.code
            licence.first = min(licence.first, _day(event))
            licence.last = max(licence.last, date(until.year, until.month, until.day))
        elif arm in {"licence_revoked", "licence_cancelled"}:
            licence.ended = _day(event)
    return {matter: licence for matter, licence in licences.items() if licence.type_code}


def _unlicensed(events: list[FamilyEvent], licences: dict[str, _Licence]) -> set[str]:
    active = {
        _day(event)
        for event in events
        if arm_of(event) in {"sample_taken", "sample_tested"}
        or (
            arm_of(event) == "inspection_completed" and event.inspection_completed.result  # type: ignore[union-attr]
        )
    }
    return {
        term_episode(matter, licence.end)
        for matter, licence in licences.items()
        for day in active
        if day > licence.end
        and not any(
            other.valid(day) for other in licences.values() if other.type_code == licence.type_code
        )
        and not any(other.outlasts(licence, day) for other in licences.values())
    }


def _expiring(events: list[FamilyEvent], licences: dict[str, _Licence], present: date) -> set[str]:
    if any(arm_of(event) == "entity_deregistered" for event in events):
        return set()
    return {
        term_episode(matter, licence.last)
        for matter, licence in licences.items()
        if licence.ended == date.max
        and licence.last - timedelta(days=30) <= present
        and not any(other.outlasts(licence, present) for other in licences.values())
    }


def _count(submissions: Iterable[Submission], present: date) -> set[Thread]:
    threads = set()
    for entity, events in _standing(submissions).items():
        licences = _licences(events)
        for rule, episodes in (
            (COMPLAINT_BURST, _bursts(events, present)),
            (REPEAT_VIOLATOR, _repeats(events, present)),
            (CANTEEN_FAILURE, _canteens(events)),
            (UNLICENSED_TRADING, _unlicensed(events, licences)),
            (LICENCE_EXPIRING, _expiring(events, licences, present)),
        ):
            threads |= {(rule, entity, episode) for episode in episodes}
    return threads


def _expected(city: City, *ends: AlertEnd) -> set[Thread]:
    return {(e.rule, e.entity_key, e.episode_key) for e in city.expected if e.end in ends}


@pytest.mark.parametrize(("present", "years"), list(zip(PRESENTS, [2, 3, 4, 2] * 2, strict=True)))
def test_expected_alerts_equal_a_plain_count(present: date, years: int) -> None:
    """At the end exactly the open ones stand, before the corrections the closed ones as well."""
    city = build_city(CityArguments(3, present, entities=160, years=years))
    assert _count(city.submissions, present) == _expected(city, AlertEnd.OPEN)
    before = [s for s in city.submissions if s.arrives < city.clearing]
    assert _count(before, present) == _expected(city, AlertEnd.OPEN, AlertEnd.CLOSED)


def test_every_rule_is_met_and_nearly_met() -> None:
    """Each rule has entities that meet it, in the past and the present, and near-misses."""
    city = build_city(CityArguments(3, PRESENTS[0], entities=160))
    begins = city.arguments.present_begins
    standing = [e for e in city.expected if e.end is AlertEnd.OPEN]
    assert {e.rule for e in standing if e.fact_day < begins} == RULES
    assert {e.rule for e in standing if e.fact_day >= begins} == RULES
    assert {near.rule for near in city.near_misses} == RULES
    threads = {(e.rule, e.entity_key) for e in standing}
    assert not threads & {(near.rule, near.entity_key) for near in city.near_misses}


def test_an_expectation_beyond_the_present_is_refused() -> None:
    """A story that expects a warning on a day not yet over is a mistake of the plan."""
    chronicle = Chronicle(seed=1, start=PRESENTS[0], present=PRESENTS[0], first_number=0)
    entity = chronicle.invent(RESTAURANT)
    tomorrow = PRESENTS[0] + timedelta(days=1)
    with pytest.raises(ValueError, match=CANTEEN_FAILURE):
        chronicle.expect(CANTEEN_FAILURE, entity, matter_episode("a/1"), tomorrow, "none")


def test_nothing_falls_between_past_and_present() -> None:
    """What must be warned of is long past or of the present, so that age can tell them apart."""
    city = build_city(CityArguments(3, PRESENTS[0], entities=160))
    arguments = city.arguments
    quiet = arguments.present - timedelta(days=180)
    for expected in city.expected:
        assert expected.fact_day < quiet or expected.fact_day >= arguments.present_begins, expected
