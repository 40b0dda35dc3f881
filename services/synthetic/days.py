"""Days and moments of the city: civil days at +08:00, no clock (日期)."""

from datetime import date, datetime, time, timedelta, timezone
from typing import Literal

from google.type.date_pb2 import Date

CITY_OFFSET_MINUTES = 480
CITY_ZONE = timezone(timedelta(minutes=CITY_OFFSET_MINUTES))


def moment(day: date, hour: int = 10, minute: int = 0) -> datetime:
    """Return a moment of a civil day in the city."""
    return datetime.combine(day, time(hour, minute), CITY_ZONE)


def after(day: date, days: int) -> date:
    """Return the day `days` later; earlier when negative."""
    return day + timedelta(days=days)


def wire_date(day: date) -> Date:
    """Return the day as it travels in events."""
    return Date(year=day.year, month=day.month, day=day.day)


def settle(day: date, tail_days: int, bucket: Literal["month", "year"]) -> date:
    """Return the latest day not after `day` whose whole tail lies in one month or year.

    What a story causes may hold for some days after its climax; a warning is one thread per month
    or year, so a climax is put where one thread is the only right answer.
    """
    while True:
        end = after(day, tail_days)
        if day.year == end.year and (bucket == "year" or day.month == end.month):
            return day
        day = after(day, -1)
