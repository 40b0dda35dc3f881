"""A row of a file, before any meaning is given to it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECORD_COLUMN = "record"
"""The only column under which a JSON line is kept in a rejects file."""

EXACT_INTEGER_MAX = 2**53
"""From here on a spreadsheet's number stands for several whole numbers: digits are lost."""

COLUMN_SEPARATOR = "."
"""Between the names of nested JSON objects, as in `detail.valid_until`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file (数据行)."""

    number: int
    """Where a person finds it: line of a JSON file, row of a sheet or of a CSV file, from 1."""
    values: Mapping[str, Any]
    """Values by column; nested objects of JSON stay nested, see `value_at`."""
    original: Mapping[str, str]
    """The row as text by original column, to be mended and imported again."""
    defect: tuple[str, str, str] | None = None
    """(column, English, Chinese) when the row itself cannot be read; `values` is then empty."""

    def value_at(self, column: str) -> Any:
        """Return the value of a column, None where it is absent or empty.

        A dotted name walks into nested objects, and a number in it into a list (from 0), unless a
        column has exactly that name.
        """
        if column in self.values:
            return _empty_to_none(self.values[column])
        found: Any = self.values
        for name in column.split(COLUMN_SEPARATOR):
            found = _step(found, name)
        return _empty_to_none(found)


def _step(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


def _empty_to_none(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        return None
    return value


def as_text(value: Any) -> str:
    """Return a value as a person would write it; whole numbers without a decimal point.

    A number that lost digits stays in scientific form: written out, it would look like a code.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGER_MAX:
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)
