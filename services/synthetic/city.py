"""The city: a seed and a few numbers in, submissions and expected warnings out (城市)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after
from services.synthetic.entities import COMMON_TRADES, Entity
from services.synthetic.expectations import ExpectedAlert, NearMiss
from services.synthetic.identity import ENTITIES_MAX
from services.synthetic.records import Submission
from services.synthetic.stories import (
    burst,
    canteen,
    casework,
    exits,
    licences,
    ordinary,
    repeat,
    strangers,
)

Story = Callable[[Chronicle, date], object]

PRESENT_DAYS = 21
"""Length of the city's present: its last days, in which every rule is met again."""
QUIET_DAYS = 200
"""Nothing that must be warned of happens later than this before the present begins to matter."""
YEARS_MIN, YEARS_MAX = 2, 4

_ANY_TIME: tuple[Story, ...] = (
    burst.new_owner_lets_hygiene_slip,
    burst.letter_entered_late,
    burst.week_counted_in_the_citys_days,
    burst.eight_days_taken_for_seven,
    burst.gym_keeps_deposits,
    repeat.old_habits,
    repeat.two_different_wrongs,
    canteen.bad_batch,
    licences.forgotten_and_shut,
    licences.forgotten_and_trading,
    licences.revoked_and_selling,
    exits.closes_properly,
    exits.leaves_with_complaints_open,
    strangers.never_registered,
    strangers.registers_after_all,
)
"""Told twice: once in the past, once in the present."""
_PAST: tuple[Story, ...] = (
    burst.busy_shop_in_a_busy_week,
    repeat.thirteen_months_apart,
    repeat.first_one_annulled,
    repeat.spared_once,
    licences.inspected_on_the_last_day,
    licences.new_licence_in_time,
    licences.renewed_in_time,
    licences.renewed_at_the_last_moment,
    licences.gave_it_back,
    exits.vanished,
    exits.pauses_for_repairs,
    exits.forgets_its_report,
    strangers.old_number_gets_a_code,
    casework.side_effects,
    casework.fake_goods_online,
    casework.repairs_its_credit,
)
_PRESENT: tuple[Story, ...] = (
    burst.same_customer_twice,
    burst.it_was_the_neighbour,
    repeat.wrong_code_entered,
    canteen.wrong_box_ticked,
    licences.found_in_the_paper_files,
    licences.year_mistyped,
)


@dataclass(frozen=True, slots=True)
class CityArguments:
    """What decides a city; equal arguments give equal bytes."""

    seed: int
    present: date
    """Last day of the city, in the city's zone; nothing is sent later."""
    entities: int = 200
    """Number of entities, not less than the stories need."""
    years: int = 2
    """Length of its history, 2 to 4."""
    first_number: int = 0
    """Number of its first entity: cities with separate ranges share no entity."""

    @property
    def start(self) -> date:
        """First day of the city."""
        return after(self.present, -365 * self.years)

    @property
    def present_begins(self) -> date:
        """First day of the city's present; before it lies its past."""
        return after(self.present, 1 - PRESENT_DAYS)


@dataclass(frozen=True, slots=True)
class City:
    """What was sent about a city, in the order of sending, and what must follow from it."""

    arguments: CityArguments
    entities: tuple[Entity, ...]
    submissions: tuple[Submission, ...]
    expected: tuple[ExpectedAlert, ...]
    near_misses: tuple[NearMiss, ...]
    clearing: datetime
    """Moment from which withdrawals and corrections that close warnings are sent."""


def build_city(arguments: CityArguments) -> City:
    """Tell the city; raise ValueError when there is no room for its stories."""
    if not YEARS_MIN <= arguments.years <= YEARS_MAX:
        message = f"years {arguments.years}: must be {YEARS_MIN} to {YEARS_MAX}"
        raise ValueError(message)
    if arguments.first_number + arguments.entities > ENTITIES_MAX:
        message = f"entities {arguments.entities}: beyond the reserved range of {ENTITIES_MAX}"
        raise ValueError(message)
    city = Chronicle(arguments.seed, arguments.start, arguments.present, arguments.first_number)
    for index, story in enumerate((*_ANY_TIME, *_PAST)):
        story(city, after(arguments.present, -(QUIET_DAYS + 10 + 2 * index)))
    for index, story in enumerate((*_ANY_TIME, *_PRESENT)):
        story(city, after(arguments.present, -(4 + index % 10)))
    told = len(city.entities)
    if told > arguments.entities:
        message = f"entities {arguments.entities}: the stories alone need {told}"
        raise ValueError(message)
    for index in range(arguments.entities - told):
        ordinary.lives_on(city, COMMON_TRADES[index % len(COMMON_TRADES)])
    return City(
        arguments=arguments,
        entities=tuple(city.entities),
        submissions=tuple(city.records.in_order()),
        expected=tuple(sorted(city.expected)),
        near_misses=tuple(sorted(city.near_misses)),
        clearing=city.clearing,
    )
