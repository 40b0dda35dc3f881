"""Sums in sorted repeated fields: totals of an entity, days of a month, months of a year. Pure.

Every event changes two or three of them, nearly always of the newest period.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.contribution import Contribution
from services.lifecycle.folding.facts import EPOCH_ORDINAL, DaySums, content_error

Sums = RepeatedCompositeFieldContainer[state_pb2.CounterSum]
Periods = RepeatedCompositeFieldContainer[state_pb2.PeriodSum]
Deltas = dict[tuple[int, str], int]
"""(counter, code) → amount to add, never 0."""

CODE_LENGTH_MAX = 200
"""Longest code that is counted, in characters."""
SUM_MAX = (1 << 63) - 1
_AMOUNTS = frozenset({state_pb2.COUNTER_FINES_FEN})
"""Counters of money. All others count facts: no history is long enough to fill them."""


def sum_deltas(old: Contribution, new: Contribution) -> DaySums:
    """Changes of the day sums, without those that come to 0: (day, counter, code) → amount."""
    if not old.sums:
        return {key: amount for key, amount in new.sums.items() if amount}
    delta = dict(new.sums)
    for key, amount in old.sums.items():
        delta[key] = delta.get(key, 0) - amount
    return {key: amount for key, amount in delta.items() if amount}


def total_deltas(days: DaySums, old: Contribution, new: Contribution) -> Deltas:
    """Changes of the totals over all history that follow from those of the days."""
    delta: Deltas = dict(new.totals)
    for key, amount in old.totals.items():
        delta[key] = delta.get(key, 0) - amount
    for (_day, counter, code), amount in days.items():
        delta[counter, code] = delta.get((counter, code), 0) + amount
    return {key: amount for key, amount in delta.items() if amount}


def check_sums(totals: Sums, deltas: Mapping[tuple[int, str], int]) -> None:
    """Refuse sums that the state could not hold, before anything is changed.

    Raises:
        InvalidEventError: a code is too long, or a total would leave 64 bits. Amounts are never
            negative, so no sum of a day or a month is larger than the total.
    """
    for (counter, code), amount in deltas.items():
        if len(code) > CODE_LENGTH_MAX:
            en = f"a code of {len(code)} characters, at most {CODE_LENGTH_MAX} fit"
            raise content_error("code", en, f"代码过长,上限{CODE_LENGTH_MAX}字符")
        if counter in _AMOUNTS and amount > 0:
            _check_rise(totals, counter, code, amount)


def _check_rise(totals: Sums, counter: int, code: str, amount: int) -> None:
    for held in totals:
        if held.counter == counter and held.code == code and held.sum + amount > SUM_MAX:
            name, total = state_pb2.Counter.Name(held.counter), held.sum + amount
            raise content_error(name, f"the sum would be {total}", f"累计值将为{total},超出范围")


def merge(sums: Sums, deltas: Deltas) -> None:
    """Add ``deltas`` to a sorted repeated CounterSum; what comes to 0 goes."""
    missing = dict(deltas)
    last = max(missing)[0]
    emptied = []
    for held in sums:
        if held.counter > last:
            break
        amount = missing.pop((held.counter, held.code), 0)
        if amount:
            total = held.sum + amount
            held.sum = total
            if total == 0:
                emptied.append(held)
            elif not missing:
                break
    for held in emptied:
        sums.remove(held)
    if missing:
        for (number, code), amount in sorted(missing.items()):
            counter = state_pb2.Counter.ValueType(number)
            sums.add(counter=counter, code=code, sum=amount)
        if len(sums) > len(missing):
            sums.sort(key=lambda held: (held.counter, held.code))


def add_to_periods(periods: Periods, deltas: Mapping[int, Deltas]) -> None:
    """Add the deltas of each period to a sorted repeated PeriodSum; empty ones go."""
    for period, delta in deltas.items():
        place = len(periods)
        while place and periods[place - 1].period > period:
            place -= 1
        if place and periods[place - 1].period == period:
            held = periods[place - 1]
            merge(held.sums, delta)
            if not held.sums:
                del periods[place - 1]
            continue
        added = state_pb2.PeriodSum(period=period)
        merge(added.sums, delta)
        periods.insert(place, added)


@lru_cache(maxsize=4_096)
def year_month_day(day: int) -> tuple[int, int, int]:
    """Calendar date of a day since 1970-01-01."""
    value = date.fromordinal(day + EPOCH_ORDINAL)
    return value.year, value.month, value.day
