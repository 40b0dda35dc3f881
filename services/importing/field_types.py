"""From a raw value to a protobuf field, by the field's own type (字段类型)."""

import datetime as dt
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.type.date_pb2 import Date
from google.type.money_pb2 import Money
from market_supervision.common.v1.envelope_pb2 import CodedValue, EntityKey

from services.importing.converters import (
    ConversionError,
    to_boolean,
    to_date,
    to_decimal,
    to_integer,
    to_slug,
    to_text,
    yuan_to_fen,
)
from services.importing.profile import Conversion, Value
from services.importing.rows import Row, as_text

CODE_LENGTH_MAX = 64

Convert = Callable[[Any, Row, zoneinfo.ZoneInfo], Any]
"""(raw value, row, zone of the entity's days) → what the field takes; raises ConversionError."""


class UnsupportedFieldError(Exception):
    """A profile maps a field in a way its type does not allow; says what is missing."""


def converter_for(field: FieldDescriptor, value: Value) -> Convert:
    """Return the conversion to one element of `field`; raise UnsupportedFieldError."""
    if field.message_type is not None:
        return _message_converter(field, field.message_type.full_name, value)
    _refuse_surplus(value, "code_system", "scheme", "currency")
    convert = _scalar(field, value)
    return lambda raw, _row, _zone: convert(raw)


def _scalar(field: FieldDescriptor, value: Value) -> Callable[[Any], Any]:
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        return lambda raw: _enum_number(raw, names)
    conversions: dict[tuple[int, Conversion], Callable[[Any], Any]] = {
        (FieldDescriptor.CPPTYPE_STRING, Conversion.AUTOMATIC): to_text,
        (FieldDescriptor.CPPTYPE_STRING, Conversion.SLUG): _slug,
        (FieldDescriptor.CPPTYPE_BOOL, Conversion.AUTOMATIC): to_boolean,
        (FieldDescriptor.CPPTYPE_INT32, Conversion.AUTOMATIC): to_integer,
        (FieldDescriptor.CPPTYPE_INT64, Conversion.AUTOMATIC): to_integer,
        (FieldDescriptor.CPPTYPE_INT64, Conversion.YUAN): yuan_to_fen,
    }
    convert = conversions.get((field.cpp_type, value.convert))
    if convert is None:
        message = f"{field.full_name} cannot be imported with the conversion {value.convert}"
        raise UnsupportedFieldError(message)
    return convert


def _slug(raw: Any) -> str:
    return to_slug(raw, CODE_LENGTH_MAX)


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """Return number by name, full (`INSPECTION_RESULT_PASS`) and short (`PASS`); without 0."""
    # Every value begins with the enum's own name, which the value of 0 shows.
    zero = enum.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    names: dict[str, int] = {}
    for one in enum.values:
        if one.number != 0:
            names[one.name] = one.number
            names[one.name.removeprefix(prefix)] = one.number
    return names


def _enum_number(raw: Any, names: dict[str, int]) -> int:
    name = to_text(raw).upper()
    if name not in names:
        raise ConversionError("不在可选值之内", "not one of the values of this field")
    return names[name]


def _message_converter(field: FieldDescriptor, full_name: str, value: Value) -> Convert:
    if full_name == CodedValue.DESCRIPTOR.full_name:
        _refuse_surplus(value, "scheme", "currency")
        return _coded(value)
    if full_name == EntityKey.DESCRIPTOR.full_name:
        _refuse_surplus(value, "code_system", "currency")
        scheme = _demand(value.scheme, "scheme")
        return lambda raw, _row, _zone: EntityKey(scheme=scheme, value=to_text(raw))
    if full_name == Money.DESCRIPTOR.full_name:
        _refuse_surplus(value, "code_system", "scheme")
        return _money(_demand(value.currency, "currency"))
    if full_name == Date.DESCRIPTOR.full_name:
        _refuse_surplus(value, "code_system", "scheme", "currency")
        return _date
    message = f"a message cannot be taken from one value: name a field below {field.name}"
    raise UnsupportedFieldError(message)


def _demand(given: str | None, name: str) -> str:
    if given is None:
        message = f"{name} is needed here"
        raise UnsupportedFieldError(message)
    return given


def _refuse_surplus(value: Value, *names: str) -> None:
    for name in names:
        if getattr(value, name) is not None:
            message = f"{name} has no meaning here"
            raise UnsupportedFieldError(message)


def _coded(value: Value) -> Convert:
    code_system = _demand(value.code_system, "code_system")
    convert = _slug if value.convert is Conversion.SLUG else to_text
    return lambda raw, _row, _zone: CodedValue(code_system=code_system, code=convert(raw))


def _money(currency_column: str) -> Convert:
    def convert(raw: Any, row: Row, _zone: zoneinfo.ZoneInfo) -> Money:
        amount = to_decimal(raw)
        currency = as_text(row.value_at(currency_column)).strip()
        if not currency:
            raise ConversionError("有金额而无币种", "an amount without a currency")
        units = int(amount)
        nanos = int((amount - Decimal(units)) * 1_000_000_000)
        return Money(currency_code=currency, units=units, nanos=nanos)

    return convert


def _date(raw: Any, _row: Row, zone: zoneinfo.ZoneInfo) -> Date:
    if isinstance(raw, dt.datetime) and raw.tzinfo is not None:
        raw = raw.astimezone(zone)
    day = to_date(raw)
    return Date(year=day.year, month=day.month, day=day.day)
