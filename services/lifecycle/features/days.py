"""Civil days as integers since 1970-01-01, and the calendar they stand for. Pure."""

from datetime import date, timedelta

from google.type.date_pb2 import Date

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def date_of(day: int) -> date:
    """Return the calendar date of a day; ValueError or OverflowError beyond the years 1 to 9999."""
    return date.fromordinal(day + EPOCH_ORDINAL)


def day_of(value: date) -> int:
    """Return the day of a calendar date."""
    return value.toordinal() - EPOCH_ORDINAL


def message_of(day: int) -> Date:
    """Return the day as a protobuf date."""
    value = date_of(day)
    return Date(year=value.year, month=value.month, day=value.day)


def month_end(year: int, month: int) -> date:
    """Return the last date of a month."""
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    return first_of_next - timedelta(days=1)
