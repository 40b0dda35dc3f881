"""Working days of the published calendar."""

from datetime import date

import pytest
import yaml
from pydantic import ValidationError

from services.contracts.bundles import read_files
from services.lifecycle.features.days import day_of
from services.lifecycle.rules.loading import read_calendar
from services.lifecycle.rules.working_days import CalendarFile, WorkingDays


@pytest.fixture(scope="module")
def china() -> WorkingDays:
    """The calendar of the configuration."""
    file = next(file for file in read_files() if file.path.startswith("calendars/"))
    return read_calendar(file.path, file.content)


@pytest.mark.parametrize(
    ("start", "count", "due"),
    [
        (date(2026, 3, 9), 1, date(2026, 3, 10)),
        (date(2026, 3, 6), 1, date(2026, 3, 9)),
        # National Day 2025 was off from 1 to 8 October; Saturday 11 October was worked.
        (date(2025, 9, 30), 1, date(2025, 10, 9)),
        (date(2025, 10, 10), 1, date(2025, 10, 11)),
        (date(2025, 9, 30), 4, date(2025, 10, 13)),
    ],
)
def test_working_days_know_holidays_and_adjusted_days(
    china: WorkingDays, start: date, count: int, due: date
) -> None:
    """Holidays are skipped, and a weekend day that is worked counts."""
    found = china.after(day_of(start), count)
    assert (found.day, found.provisional) == (day_of(due), False)


def test_year_not_published_is_provisional(china: WorkingDays) -> None:
    """Beyond the last published year only weekends are known, and the date says so."""
    found = china.after(day_of(date(2026, 12, 31)), 1)
    assert (found.day, found.provisional) == (day_of(date(2027, 1, 1)), True)


@pytest.mark.parametrize(
    "year",
    [
        "{days_off: [2025-01-01], days_worked: []}",
        "{days_off: [2026-01-03], days_worked: []}",
        "{days_off: [], days_worked: [2026-01-05]}",
    ],
)
def test_calendar_day_that_makes_no_sense_is_refused(year: str) -> None:
    """Days of another year, weekends off, or weekdays worked are mistakes."""
    document = yaml.safe_load(f"{{calendar: x, source: x, years: {{2026: {year}}}}}")
    with pytest.raises(ValidationError):
        CalendarFile.model_validate(document)
