"""What authorities write down and send in one simulated world: facts, corrections, repeats, dirt.

Everything follows from the dice. Facts are chosen so that the rules in deploy/config fire: bursts
of complaints, repeated penalties, failed canteens, licences that end or are renewed; the rest are
events of every type. Days count from 2026-01-01.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from market_supervision.common.v1 import envelope_pb2
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_ASSERTED,
    DISPOSITION_WITHDRAWN,
)
from market_supervision.inspections.v1 import inspections_events_pb2 as inspections

from services.contracts.families import FamilyEvent
from services.lifecycle.features.days import date_of, day_of
from services.lifecycle.tests.fold_rig import DAY_MS, all_arms, example, prepared
from services.lifecycle.tests.step_rig import moment_of

ENTITIES = tuple(f"91442000XX00000{number:02d}R" for number in range(4))
HISTORY_DAYS = 40
LATE_DAYS_MAX = 8
"""Latest arrival after the day of a fact."""
_FIRST_DAY = day_of(date_of(0).replace(year=2026, month=1, day=1))
_HOURS = (0, 0, 0, 6)
"""Few different hours, so that many facts have equal event times and ties are broken."""

example_of = lru_cache(maxsize=None)(example)


@dataclass(frozen=True, slots=True)
class Submission:
    """One version of one record, and when its authority sends it (ms since 1970)."""

    event: FamilyEvent
    arrives_ms: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """One fact before it is versioned."""

    base: FamilyEvent
    entity: str
    matter: str
    day: int


def history(dice: random.Random) -> list[Submission]:
    """Return everything that is sent in one world, in the order of arrival."""
    sent: list[Submission] = []
    for number, plan in enumerate(_plans(dice)):
        sent.extend(_versions(dice, plan, f"r{number:03d}"))
    sent.sort(key=lambda submission: submission.arrives_ms)
    return sent


def _plans(dice: random.Random) -> Iterator[_Plan]:
    for entity in dice.sample(ENTITIES, dice.randint(1, len(ENTITIES))):
        for story in dice.sample(_STORIES, dice.randint(1, len(_STORIES))):
            yield from story(dice, entity, entity[-3:-1])


def _complaints(dice: random.Random, entity: str, mark: str) -> Iterator[_Plan]:
    start = dice.randrange(HISTORY_DAYS - 7)
    for number in range(dice.randint(4, 7)):
        base = example_of("complaints", "complaint_received")
        yield _Plan(base, entity, f"test/c{mark}{number}", start + dice.randrange(6))


def _penalties(dice: random.Random, entity: str, mark: str) -> Iterator[_Plan]:
    for number in range(dice.randint(1, 3)):
        base = example_of("penalties", "penalty_decided")
        yield _Plan(base, entity, f"test/p{mark}{number}", dice.randrange(HISTORY_DAYS))


def _canteens(dice: random.Random, entity: str, mark: str) -> Iterator[_Plan]:
    for number in range(dice.randint(1, 3)):
        base = _copy(example_of("inspections", "inspection_completed"))
        body = base.inspection_completed  # type: ignore[union-attr]
        body.place_type = inspections.PLACE_TYPE_SCHOOL_CANTEEN
        body.result = dice.choice(
            [inspections.INSPECTION_RESULT_FAIL, inspections.INSPECTION_RESULT_PASS]
        )
        yield _Plan(base, entity, f"test/i{mark}{number}", dice.randrange(HISTORY_DAYS))


def _licences(dice: random.Random, entity: str, mark: str) -> Iterator[_Plan]:
    for number in range(dice.randint(1, 3)):
        matter, granted = f"test/l{mark}{number}", dice.randrange(10)
        last = granted + dice.randrange(15, 60)
        yield _Plan(_licence("licence_granted", last), entity, matter, granted)
        follows = dice.choice(["", "", "licence_renewed", "licence_revoked", "licence_cancelled"])
        if follows == "licence_renewed":
            renewed = _licence(follows, last + dice.choice([20, 365]))
            yield _Plan(renewed, entity, matter, dice.randrange(granted, HISTORY_DAYS))
        elif follows:
            base = example_of("registration", follows)
            yield _Plan(base, entity, matter, dice.randrange(granted, HISTORY_DAYS))


def _anything(dice: random.Random, entity: str, mark: str) -> Iterator[_Plan]:
    """Events of nearly every type in a few matters, whatever they make of one another."""
    for _ in range(dice.randint(3, 10)):
        family, arm = dice.choice(_ARMS)
        matter = f"test/m{mark}{dice.randrange(4)}"
        yield _Plan(example_of(family, arm), entity, matter, dice.randrange(HISTORY_DAYS))


_UNTRIGGERED = {("inspections", "inspection_completed"), ("registration", "entity_deregistered")}
"""What rules say of these depends on facts that trigger no such rule (a fact of another family
makes another kind of matter of it; a notice after a deregistration takes that back), and so on what
comes first. Authors of rules avoid it by their triggers; it is no promise of the fold.
"""
_ARMS = [arm for arm in all_arms() if arm not in _UNTRIGGERED]
_STORIES = (_complaints, _penalties, _canteens, _licences, _anything)


def _licence(arm: str, last_day: int) -> FamilyEvent:
    event = _copy(example_of("registration", arm))
    body = getattr(event, arm)
    body.ClearField("valid_from_date")
    last = date_of(_FIRST_DAY + last_day)
    body.valid_until_date.year, body.valid_until_date.month = last.year, last.month
    body.valid_until_date.day = last.day
    return event


def _versions(dice: random.Random, plan: _Plan, record: str) -> Iterator[Submission]:
    """Send a fact, perhaps corrected, withdrawn, out of order, and more than once."""
    matter, entity, day = plan.matter, plan.entity, plan.day
    hour = dice.choice(_HOURS)
    for version in range(1, dice.choice([1, 1, 1, 2, 2, 3]) + 1):
        disposition: envelope_pb2.Disposition.ValueType = DISPOSITION_ASSERTED
        if version > 1:
            day = min(HISTORY_DAYS, max(0, day + dice.choice([0, 0, -2, 3])))
            matter = dice.choice([matter, matter, f"{matter}x"])
            entity = dice.choice([entity, entity, entity, dice.choice(ENTITIES)])
            if dice.random() < 0.3:
                disposition = DISPOSITION_WITHDRAWN
        event = prepared(
            plan.base, record=record, version=version, entity=entity, matter=matter, day=day,
            disposition=disposition,
        )  # fmt: skip
        event.envelope.event_time.seconds += hour * 3_600
        arrival = moment_of(day + dice.choice([0.1, 0.3, dice.random() * LATE_DAYS_MAX]))
        yield Submission(event, arrival)
        if dice.random() < 0.15:
            yield Submission(event, arrival + dice.choice([0, 1, dice.randrange(3 * DAY_MS)]))
        if dice.random() < 0.03:
            yield Submission(_contradicting(event), arrival + dice.randrange(1, DAY_MS))


def _contradicting(event: FamilyEvent) -> FamilyEvent:
    """The same version with another content: what two racing intakes may both let through."""
    other = _copy(event)
    other.envelope.event_time.seconds -= 3_600
    return other


def _copy(event: FamilyEvent) -> FamilyEvent:
    return type(event).FromString(event.SerializeToString())
