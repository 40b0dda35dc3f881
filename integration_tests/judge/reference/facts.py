"""A standing fact, and reading what its body says. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from google.type.date_pb2 import Date
from market_supervision.common.v1.envelope_pb2 import CodedValue

from integration_tests.judge.admission import Event, RefusedError

KEY_SCHEMES = Path(__file__).resolve().parents[3] / "deploy" / "config" / "key_schemes.yaml"
DEFAULT_ZONE = "Asia/Shanghai"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_ORDINAL = date(1970, 1, 1).toordinal()
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

DATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "inspection_planned": ("planned_date",),
        "rectification_ordered": ("due_date",),
        "rectification_verified": ("new_due_date",),
        "licence_granted": ("valid_from_date", "valid_until_date"),
        "licence_renewed": ("valid_from_date", "valid_until_date"),
        "licence_expired": ("last_valid_date",),
        "simple_deregistration_notice_published": ("notice_until_date",),
        "business_suspended": ("planned_until_date",),
        "credit_repair_granted": ("publication_stops_date",),
    }
)
"""Dates of an event type that the fold reads; one that is no calendar date refuses the event."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact that stands."""

    event: Event
    day: int
    """Civil day in the zone of the entity's scheme, days since 1970-01-01."""

    @property
    def arm(self) -> str:
        """Event type within its family."""
        return self.event.arm

    @property
    def body(self) -> Any:
        """What was stated."""
        return self.event.body

    @property
    def time_ms(self) -> int:
        """Event time, milliseconds."""
        return self.event.time_ms

    @property
    def slot_key(self) -> str:
        """Slot."""
        return self.event.slot_key

    def order(self) -> tuple[int, int, str]:
        """Return what facts of a matter are sorted by: event time, arm number, slot key."""
        number = self.event.message.DESCRIPTOR.fields_by_name[self.arm].number
        return self.time_ms, number, self.slot_key


def standing(events: list[Event]) -> list[Fact]:
    """Return the facts that stand, in the order of their meaning."""
    facts = [Fact(e, civil_day(e.entity_key, e.time_ms)) for e in events if e.stands]
    return sorted(facts, key=Fact.order)


def check_body(event: Event) -> None:
    """Raise RefusedError for an event that names a date which does not exist."""
    fields = DATES.get(event.arm, ())
    if event.arm == "rectification_verified" and word(event.body, "result") == "rectified":
        fields = ()  # a new date is not read where nothing is left to be done
    for field in fields:
        if event.body.HasField(field):
            day_of(getattr(event.body, field))


def day_of(value: Date) -> int:
    """Return the days since 1970-01-01 of a date; RefusedError when there is no such date."""
    try:
        return date(value.year, value.month, value.day).toordinal() - _FIRST_ORDINAL
    except ValueError as error:
        raise RefusedError(str(error)) from error


def optional_day(body: Any, field: str) -> int:
    """Return the day of a date field, 0 where it is not given."""
    return day_of(getattr(body, field)) if body.HasField(field) else 0


def date_of(day: int) -> date:
    """Return the calendar date of a day."""
    return date.fromordinal(day + _FIRST_ORDINAL)


@lru_cache(maxsize=1)
def _zones() -> dict[str, ZoneInfo]:
    rows = yaml.safe_load(KEY_SCHEMES.read_text())["schemes"]
    return {row["scheme"]: ZoneInfo(row["time_zone"]) for row in rows}


def schemes() -> list[str]:
    """Return the registered key schemes in the order of their table."""
    return list(_zones())


def civil_day(entity_key: str, time_ms: int) -> int:
    """Return the civil day of a moment for an entity (its key, or `scheme:`)."""
    zone = _zones().get(entity_key.partition(":")[0]) or ZoneInfo(DEFAULT_ZONE)
    local = (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone)
    return local.date().toordinal() - _FIRST_ORDINAL


def coded(value: CodedValue) -> str:
    """Return `code_system code`, empty without a code."""
    return f"{value.code_system} {value.code}" if value.code else ""


def word(message: Any, field: str) -> str:
    """Return an enum field's value as a lower-case word without the enum's own name.

    Empty for the value 0; a number that the contract does not know is shown as a number.
    """
    return word_of(message, field, getattr(message, field))


def word_of(message: Any, field: str, number: int) -> str:
    """Return one value of an enum field as a word; see `word`."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    if number == 0:
        return ""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = _WORD_BOUNDARY.sub("_", enum.name).upper() + "_"
    name: str = value.name
    return name.removeprefix(prefix).lower()
