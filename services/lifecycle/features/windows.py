"""Sums over any run of civil days, read exactly from month and year buckets. Pure.

A run reads the day sums of the two months it cuts through, and month sums for the whole months
between, whatever its length. Nothing is ever approximated or evicted.
"""

from collections.abc import Iterable, Iterator
from datetime import date

from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.features.days import date_of, day_of, month_end
from services.lifecycle.view import EntityView

WINDOW_DAYS_MAX = 731
"""Longest window a rule may look back over: two years and a leap day."""

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
    for period in _covered(view, date_of(last_day - length_days + 1), date_of(last_day)):
        for entry in period.sums:
            if entry.counter > counter:
                break  # they are sorted by counter, then code
            if entry.counter == counter:
                sums[entry.code] = sums.get(entry.code, 0) + entry.sum
    return sums


def window_sum(
    view: EntityView, counter: state_pb2.Counter.ValueType, last_day: int, length_days: int
) -> int:
    """Return the sum of a counter, over all its codes, of the days ending with ``last_day``."""
    return sum(window_sums(view, counter, last_day, length_days).values())


def _covered(view: EntityView, first: date, last: date) -> Iterator[state_pb2.PeriodSum]:
    """Yield the fewest periods that cover the days from ``first`` to ``last`` exactly, in order."""
    for year in range(first.year, last.year + 1):
        begins = first if year == first.year else date(year, 1, 1)
        ends = last if year == last.year else date(year, 12, 31)
        yield from _covered_in_year(view, begins, ends)


def _covered_in_year(view: EntityView, first: date, last: date) -> Iterator[state_pb2.PeriodSum]:
    year = first.year
    from_first = first.day == 1
    to_last = last == month_end(year, last.month)
    if first.month == last.month and not (from_first and to_last):
        yield from _between(view.month(year, first.month).days, first.day, last.day)
        return
    if not from_first:
        yield from _between(view.month(year, first.month).days, first.day, 31)
    # The whole months in one pass: an entity that has something every month has twelve here.
    whole_from = first.month if from_first else first.month + 1
    whole_until = last.month if to_last else last.month - 1
    if whole_from <= whole_until:
        yield from _between(view.year(year).months, whole_from, whole_until)
    if not to_last:
        yield from _between(view.month(year, last.month).days, 1, last.day)


def _between(
    periods: Iterable[state_pb2.PeriodSum], first: int, last: int
) -> Iterator[state_pb2.PeriodSum]:
    return (period for period in periods if first <= period.period <= last)


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
