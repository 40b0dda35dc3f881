"""Working days (工作日) from a published calendar that knows adjusted days (调休). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.lifecycle.features.days import date_of, day_of


class CalendarYear(BaseModel):
    """Days of one published year that depart from Monday to Friday."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    days_off: list[date]
    days_worked: list[date]


class CalendarFile(BaseModel):
    """One calendar (工作日历) as it stands in a data file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    calendar: str = Field(pattern=r"^[a-z][a-z-]{0,31}$")
    source: str = Field(min_length=1)
    years: dict[int, CalendarYear] = Field(min_length=1)

    @model_validator(mode="after")
    def _dates_fit(self) -> "CalendarFile":
        for year, days in self.years.items():
            for day in (*days.days_off, *days.days_worked):
                if day.year != year:
                    message = f"{day} does not lie in {year}"
                    raise ValueError(message)
            if any(day.weekday() >= 5 for day in days.days_off):
                message = f"{year}: days_off names a day of a weekend, which is off anyway"
                raise ValueError(message)
            if any(day.weekday() < 5 for day in days.days_worked):
                message = f"{year}: days_worked names a day from Monday to Friday"
                raise ValueError(message)
        return self


@dataclass(frozen=True, slots=True)
class DueDay:
    """A day counted in working days."""

    day: int
    provisional: bool
    """Whether a year was passed whose calendar is not published: only weekends are known of it."""


class WorkingDays:
    """Counts working days; without a published year, weekends alone are off."""

    def __init__(self, years: Mapping[int, CalendarYear]) -> None:
        self._years = frozenset(years)
        self._off = frozenset(day_of(day) for year in years.values() for day in year.days_off)
        self._worked = frozenset(day_of(day) for year in years.values() for day in year.days_worked)

    def is_working_day(self, day: int) -> bool:
        """Return whether offices work on the day."""
        if day in self._worked:
            return True
        return date_of(day).weekday() < 5 and day not in self._off

    def after(self, day: int, count: int) -> DueDay:
        """Return the ``count``-th working day after ``day``, which itself is not counted."""
        provisional = False
        remaining = count
        while remaining > 0:
            day += 1
            provisional = provisional or date_of(day).year not in self._years
            remaining -= self.is_working_day(day)
        return DueDay(day, provisional)
