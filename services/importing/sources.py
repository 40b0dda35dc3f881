"""Taking the raw value of a field out of a row, as a profile says."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.importing.converters import ConversionError, as_number
from services.importing.profile import Above, Condition, Otherwise, Value, When
from services.importing.rows import Row, as_text

_NO_ITEM = object()


@dataclass(frozen=True, slots=True)
class Raw:
    """What stands in a row for a field; `value` is None where nothing does."""

    column: str
    value: Any


class UnlistedValueError(ConversionError):
    """A value is not in the map, and the profile says to refuse such a row."""

    def __init__(self, raw: Raw) -> None:
        super().__init__("未列入对照表的值", "the value is not in the profile's map")
        self.raw = raw


Source = Callable[[Row, Any], Raw]
"""(row, element of `each` or nothing) → what stands there."""


Lookup = Callable[[Raw], Raw]
"""What stands there → what it means; raises UnlistedValueError."""


def compile_lookup(value: Value, mapping: Mapping[str, Any] | None) -> Lookup:
    """Return the function that looks a value up in the mapping of a profile, if it has one.

    A value the mapping does not list raises UnlistedValueError, where the profile says to refuse
    such a row.
    """
    if mapping is None:
        return _as_it_is
    folded = _fold(value, mapping)

    def look_up(raw: Raw) -> Raw:
        text = as_text(raw.value).strip()
        key = text.upper() if value.ignore_case else text
        if key in folded:
            return Raw(raw.column, folded[key])
        if value.otherwise is Otherwise.KEEP:
            return raw
        if value.otherwise is Otherwise.UNSET:
            return Raw(raw.column, None)
        raise UnlistedValueError(raw)

    return look_up


def _as_it_is(raw: Raw) -> Raw:
    return raw


def _fold(value: Value, mapping: Mapping[str, Any]) -> dict[str, Any]:
    if value.ignore_case:
        return {key.upper(): target for key, target in mapping.items()}
    return dict(mapping)


def compile_source(value: Value) -> Source:
    """Return the function that finds what stands in a row for a field."""
    if value.item:
        return _element
    if value.constant is not None:
        constant = list(value.constant) if isinstance(value.constant, tuple) else value.constant
        return _constant(constant)
    if value.template is not None:
        return _template(value.template)
    columns = value.columns()

    def first_present(row: Row, _item: Any = _NO_ITEM) -> Raw:
        for column in columns:
            found = row.value_at(column)
            if found is not None:
                return Raw(column, found)
        return Raw(columns[0], None)

    return first_present


def _element(_row: Row, item: Any = _NO_ITEM) -> Raw:
    return Raw("item", item)


def _constant(constant: Any) -> Source:
    raw = Raw("", constant)

    def same(_row: Row, _item: Any = _NO_ITEM) -> Raw:
        return raw

    return same


def template_columns(template: str) -> tuple[str, ...]:
    """Return the columns a template names; raise ValueError when it is not well formed."""
    parsed = list(string.Formatter().parse(template))
    if any(spec or conversion for _, _, spec, conversion in parsed):
        message = "only {column} is possible in a template"
        raise ValueError(message)
    return tuple(name for _, name, _, _ in parsed if name is not None)


def _template(template: str) -> Source:
    parts = [(literal, name) for literal, name, _, _ in string.Formatter().parse(template)]
    label = "+".join(template_columns(template))

    def fill(row: Row, _item: Any = _NO_ITEM) -> Raw:
        filled = []
        for literal, name in parts:
            filled.append(literal)
            if name is not None:
                found = row.value_at(name)
                if found is None:
                    return Raw(name, None)
                filled.append(as_text(found).strip())
        return Raw(label, "".join(filled))

    return fill


Test = Callable[[Row], bool]


def compile_when(when: When) -> Test:
    """Return the function that tells whether all conditions hold for a row."""
    tests = [_test(column, condition) for column, condition in when.items()]
    return lambda row: all(test(row) for test in tests)


def _test(column: str, condition: Condition) -> Test:
    if isinstance(condition, Above):
        limit = condition.above

        def above(row: Row) -> bool:
            found = as_number(row.value_at(column))
            return found is not None and found > limit

        return above
    allowed = condition if isinstance(condition, tuple) else (condition,)
    texts = frozenset(None if one is None else as_text(one) for one in allowed)

    def equals(row: Row) -> bool:
        found = row.value_at(column)
        return (None if found is None else as_text(found).strip()) in texts

    return equals
