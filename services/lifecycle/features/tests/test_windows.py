"""Windows over month and year buckets."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.features.days import day_of
from services.lifecycle.features.windows import (
    WINDOW_DAYS_MAX,
    days_with,
    total_until,
    window_sum,
    window_sums,
)
from services.lifecycle.testing import MadeFact, MadeView

FIRST = date(2023, 6, 1)
DAYS = st.integers(0, 1_200).map(lambda offset: day_of(FIRST + timedelta(days=offset)))
CODES = st.sampled_from(["A", "B"])
FACTS = st.lists(
    st.tuples(
        DAYS, st.sampled_from(["complaints.complaint_received", "penalties.penalty_decided"]), CODES
    ),
    max_size=40,
)


def made(facts: list[tuple[int, str, str]]) -> MadeView:
    """A view of facts, seen from after all of them."""
    return MadeView(
        date(2027, 1, 1),
        facts=[
            MadeFact(event_type, day, f"m/{index}", code=code)
            for index, (day, event_type, code) in enumerate(facts)
        ],
    )


class CountingView(MadeView):
    """Counts the buckets that are read."""

    months_read = 0
    years_read = 0

    def month(self, year: int, month: int) -> state_pb2.MonthBucket:
        """Day sums of a month."""
        self.months_read += 1
        return super().month(year, month)

    def year(self, year: int) -> state_pb2.YearBucket:
        """Month sums of a year."""
        self.years_read += 1
        return super().year(year)


@settings(max_examples=60, deadline=None)
@given(FACTS, DAYS, st.integers(1, WINDOW_DAYS_MAX))
def test_window_sum_equals_counting_the_facts(
    facts: list[tuple[int, str, str]], last_day: int, length_days: int
) -> None:
    """A window holds exactly the facts of its days, wherever it cuts months and years."""
    view = made(facts)
    within = [fact for fact in facts if last_day - length_days < fact[0] <= last_day]
    complaints = sum(event_type.startswith("complaints") for _, event_type, _ in within)
    penalties: dict[str, int] = {}
    for _, event_type, code in within:
        if event_type.startswith("penalties"):
            penalties[code] = penalties.get(code, 0) + 1
    counter = state_pb2.COUNTER_PENALTIES_BY_VIOLATION
    assert window_sum(view, state_pb2.COUNTER_COMPLAINTS, last_day, length_days) == complaints
    assert window_sums(view, counter, last_day, length_days) == penalties


@settings(max_examples=60, deadline=None)
@given(FACTS, DAYS)
def test_total_until_equals_counting_the_facts(facts: list[tuple[int, str, str]], day: int) -> None:
    """All history up to a day is the facts up to that day."""
    assert total_until(made(facts), state_pb2.COUNTER_FACTS, day) == sum(f[0] <= day for f in facts)


@settings(max_examples=60, deadline=None)
@given(FACTS, DAYS, st.integers(0, 900))
def test_days_with_are_the_days_of_the_facts(
    facts: list[tuple[int, str, str]], first_day: int, length_days: int
) -> None:
    """The days found are those with a fact of the kind, each once, ascending."""
    last_day = first_day + length_days
    expected = sorted(
        {
            day
            for day, event_type, _ in facts
            if first_day <= day <= last_day and event_type.startswith("complaints")
        }
    )
    counters = frozenset({int(state_pb2.COUNTER_COMPLAINTS)})
    assert days_with(made(facts), counters, first_day, last_day) == expected


def test_longest_window_reads_two_months_beside_month_sums() -> None:
    """A window of 731 days reads the day sums of the two months it cuts through, no more."""
    view = CountingView(date(2027, 1, 1))
    window_sum(view, state_pb2.COUNTER_COMPLAINTS, day_of(date(2026, 3, 10)), WINDOW_DAYS_MAX)
    assert view.months_read == 2
