"""Sums over any run of civil days, read exactly from month and year buckets. Pure.

A run reads day sums of the two months it cuts through, and month sums for the whole months between,
whatever its length. Nothing is ever approximated or evicted.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from operator import attrgetter

from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.features.days import date_of, day_of, month_end
from services.lifecycle.view import EntityView

WINDOW_DAYS_MAX = 731
"""Longest window a rule may look back over: two years and a leap day."""

_NUMBER = attrgetter("period")
_Parts = Iterator[tuple[state_pb2.PeriodSum, int]]
_Months = Iterator[tuple[int, int, int, int]]


def _months(first: date, last: date) -> _Months:
    """Yield (year, month, first day of month, last day of month) of the part within each month."""
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        begins = first.day if (year, month) == (first.year, first.month) else 1
        ends = last.day if (year, month) == (last.year, last.month) else 0
        yield year, month, begins, ends or month_end(year, month).day
        year, month = year + month // 12, month % 12 + 1


def window_sums(
    view: EntityView, counter: state_pb2.Counter.ValueType, last_day: int, length_days: int
) -> dict[str, int]:
    """Return code → sum of a counter over the ``length_days`` days that end with ``last_day``.

    A counter without sub-codes has the one code "". Empty when nothing was counted.
    """
    sums: dict[str, int] = {}
    if length_days < 1:
        return sums
    for period, sign in _covered(view, date_of(last_day - length_days + 1), date_of(last_day)):
        for entry in period.sums:
            if entry.counter > counter:
                break  # they are sorted by counter, then code
            if entry.counter == counter:
                sums[entry.code] = sums.get(entry.code, 0) + sign * entry.sum
    return {code: amount for code, amount in sums.items() if amount}


def window_sum(
    view: EntityView, counter: state_pb2.Counter.ValueType, last_day: int, length_days: int
) -> int:
    """Return the sum of a counter, over all its codes, of the days ending with ``last_day``."""
    return sum(window_sums(view, counter, last_day, length_days).values())


def _covered(view: EntityView, first: date, last: date) -> _Parts:
    """Yield periods to add (1) and to take away (-1): together the days from first to last."""
    for year in range(first.year, last.year + 1):
        begins = first if year == first.year else date(year, 1, 1)
        ends = last if year == last.year else date(year, 12, 31)
        yield from _covered_in_year(view, begins, ends)


def _covered_in_year(view: EntityView, first: date, last: date) -> _Parts:
    year = first.year
    end_of_first, end_of_last = month_end(year, first.month).day, month_end(year, last.month).day
    cuts_first, cuts_last = first.day > 1, last.day < end_of_last
    if first.month == last.month and (cuts_first or cuts_last):
        yield from _between(view.month(year, first.month).days, first.day, last.day)
        return
    whole_from, whole_until = first.month + cuts_first, last.month - cuts_last
    # Where the year is read all the same, the larger part of a month that is cut through is the
    # whole month less the days outside: of an entity with a long history every day is in use.
    reads_year = whole_from <= whole_until
    if cuts_first:
        days = view.month(year, first.month).days
        if reads_year and 2 * first.day <= end_of_first:
            whole_from = first.month
            yield from _between(days, 1, first.day - 1, -1)
        else:
            yield from _between(days, first.day, end_of_first)
    if cuts_last:
        days = view.month(year, last.month).days
        if reads_year and 2 * last.day >= end_of_last:
            whole_until = last.month
            yield from _between(days, last.day + 1, end_of_last, -1)
        else:
            yield from _between(days, 1, last.day)
    # The whole months in one pass: an entity that has something every month has twelve here.
    if reads_year:
        yield from _between(view.year(year).months, whole_from, whole_until)


def _between(
    periods: Sequence[state_pb2.PeriodSum], first: int, last: int, sign: int = 1
) -> _Parts:
    """Yield the periods from ``first`` to ``last``; they are sorted."""
    for place in range(bisect_left(periods, first, key=_NUMBER), len(periods)):
        period = periods[place]
        if period.period > last:
            return
        yield period, sign


def total_until(view: EntityView, counter: state_pb2.Counter.ValueType, day: int) -> int:
    """Return the sum of a counter over all history up to and including ``day``."""
    total = sum(entry.sum for entry in view.entity.totals if entry.counter == counter)
    # An event may be dated up to 24 hours ahead of the moment it was taken in.
    latest = view.now_day + 1
    return total - window_sum(view, counter, latest, latest - day)


def days_with(
    view: EntityView, counters: frozenset[int], first_day: int, last_day: int
) -> list[int]:
    """Return the days from ``first_day`` to ``last_day`` on which any of ``counters`` counted.

    Months in which the year's sums hold none of them are not read.
    """
    found: list[int] = []
    if first_day > last_day:
        return found
    for year, month, begins, ends in _months(date_of(first_day), date_of(last_day)):
        # Within two months the year bucket saves nothing; beyond, it skips the empty months.
        if last_day - first_day > 62 and not _month_holds(view, year, month, counters):
            continue
        first_of_month = day_of(date(year, month, 1))
        found.extend(
            first_of_month + period.period - 1
            for period in view.month(year, month).days
            if begins <= period.period <= ends and _holds(period, counters)
        )
    return found


def _month_holds(view: EntityView, year: int, month: int, counters: frozenset[int]) -> bool:
    return any(
        period.period == month and _holds(period, counters) for period in view.year(year).months
    )


def _holds(period: state_pb2.PeriodSum, counters: frozenset[int]) -> bool:
    return any(entry.counter in counters for entry in period.sums)
