"""A row becomes an event, or the list of everything that is wrong with it (行映射)."""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED, EntityKey

from services.contracts.families import Family, FamilyEvent
from services.contracts.identifiers import IdentifierError
from services.contracts.labels import Label
from services.importing.compiled import CompiledEvent, CompiledProfile, EachRule, FieldRule
from services.importing.converters import ConversionError, to_moment, to_text
from services.importing.errors import RowProblem, RowRefusedError
from services.importing.rows import Row, as_text
from services.importing.sources import Raw

VALUE_CHARACTERS_MAX = 200
"""Of a bad value, as much is repeated in the rejects file."""

_NO_COLUMN = "-"
_UNFIT = Label("超出字段可容纳的范围", "does not fit into the field")
_MISSING = Label("必填项为空", "is empty, but needed")


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """An event, and the family whose service takes it."""

    family: Family
    event: FamilyEvent
    columns_by_field: Mapping[str, str]


@dataclass(slots=True)
class _Mapping:
    """One row on its way, collecting what is wrong with it."""

    row: Row
    zone: zoneinfo.ZoneInfo
    problems: list[RowProblem] = field(default_factory=list)

    def add(self, column: str, value: Any, reason: Label) -> None:
        shown = as_text(value)[:VALUE_CHARACTERS_MAX]
        self.problems.append(RowProblem(column or _NO_COLUMN, shown, reason))


def map_row(profile: CompiledProfile, row: Row) -> MappedEvent:
    """Return the event of a row; raise RowRefusedError with every problem found in it."""
    refuse_defective(row)
    for refusal in profile.refusals:
        if refusal.applies(row):
            raise _refused(row, refusal.columns, refusal.reason)
    rule = _rule_for(profile, row)
    key = _entity_key(profile, row)
    mapping = _Mapping(row, profile.schemes.zone(key.scheme))
    event = rule.family.message_class()
    event.envelope.entity_key.CopyFrom(key)
    event.envelope.disposition = DISPOSITION_ASSERTED
    _set_event_time(event, rule, mapping)
    for envelope_rule in rule.envelope:
        _set_field(event.envelope, envelope_rule, mapping, None)
    if event.envelope.disposition == DISPOSITION_ASSERTED or _has_body(rule, row):
        _set_body(event, rule, mapping)
    if mapping.problems:
        raise RowRefusedError(tuple(mapping.problems))
    return MappedEvent(rule.family, event, rule.columns_by_field)


def refuse_defective(row: Row) -> None:
    """Raise RowRefusedError for a row that could not even be read."""
    if row.defect is not None:
        column, english, chinese = row.defect
        shown = row.original.get(column, "")[:VALUE_CHARACTERS_MAX]
        raise RowRefusedError((RowProblem(column, shown, Label(chinese, english)),))


def _rule_for(profile: CompiledProfile, row: Row) -> CompiledEvent:
    for rule in profile.events:
        if rule.applies(row):
            return rule
    reason = Label(
        f"导入配置{profile.name}中没有适用于该行的事件类型",
        f"no event of the profile {profile.name} fits this row",
    )
    raise _refused(row, profile.selecting_columns, reason)


def _refused(row: Row, columns: tuple[str, ...], reason: Label) -> RowRefusedError:
    given = {name: as_text(row.value_at(name)) for name in columns}
    stated = {name: text for name, text in given.items() if text} or given
    problem = RowProblem("; ".join(stated) or _NO_COLUMN, "; ".join(stated.values()), reason)
    return RowRefusedError((problem,))


def _entity_key(profile: CompiledProfile, row: Row) -> EntityKey:
    asked: list[str] = []
    for key in profile.keys:
        raw = key.source(row, None)
        if raw.value is None:
            asked.append(raw.column)
            continue
        try:
            value = profile.schemes.scheme(key.scheme).normalise(to_text(raw.value))
        except (ConversionError, IdentifierError) as error:
            problem = RowProblem(raw.column, as_text(raw.value), error.reason)
            raise RowRefusedError((problem,)) from error
        return EntityKey(scheme=key.scheme, value=value)
    raise RowRefusedError((RowProblem("; ".join(dict.fromkeys(asked)), "", _MISSING),))


def _set_event_time(event: FamilyEvent, rule: CompiledEvent, mapping: _Mapping) -> None:
    raw = rule.event_time(mapping.row, None)
    if raw.value is None:
        mapping.add(raw.column, "", _MISSING)
        return
    try:
        moment = to_moment(raw.value, mapping.zone)
    except ConversionError as error:
        mapping.add(raw.column, raw.value, error.reason)
        return
    try:
        event.envelope.event_time.FromDatetime(moment)
        offset = moment.utcoffset()
    except (ValueError, ArithmeticError):
        # The first and the last day of the calendar lie outside it in another zone.
        mapping.add(raw.column, raw.value, _UNFIT)
        return
    if offset is not None:
        event.envelope.utc_offset_minutes = int(offset.total_seconds() // 60)


def _has_body(rule: CompiledEvent, row: Row) -> bool:
    """Tell whether any column of the body holds something: a withdrawal may leave all empty."""
    for body_rule in rule.body:
        if isinstance(body_rule, EachRule):
            if row.value_at(body_rule.column) is not None:
                return True
        elif body_rule.reads_row and body_rule.source(row, None).value is not None:
            return True
    return False


def _set_body(event: FamilyEvent, rule: CompiledEvent, mapping: _Mapping) -> None:
    body: Message = getattr(event, rule.arm)
    body.SetInParent()
    for body_rule in rule.body:
        if isinstance(body_rule, EachRule):
            _set_each(body, body_rule, mapping)
        else:
            _set_field(body, body_rule, mapping, None)


def _set_field(message: Message, rule: FieldRule, mapping: _Mapping, item: Any) -> None:
    raw = rule.source(mapping.row, item)
    if raw.value is None:
        if rule.required:
            mapping.add(raw.column, "", _MISSING)
        return
    values = _elements(raw.value, rule.separators) if rule.is_repeated else [raw.value]
    converted = []
    for value in values:
        try:
            meant = rule.lookup(Raw(raw.column, value)).value
            if meant is not None:
                converted.append(rule.convert(meant, mapping.row, mapping.zone))
        except ConversionError as error:
            mapping.add(raw.column, value, error.reason)
        except (ValueError, ArithmeticError):
            mapping.add(raw.column, value, _UNFIT)
    if converted:
        try:
            _assign(message, rule, converted)
        except (ValueError, ArithmeticError):
            mapping.add(raw.column, raw.value, _UNFIT)


def _assign(message: Message, rule: FieldRule, converted: list[Any]) -> None:
    for parent in rule.parents:
        message = getattr(message, parent)
    if rule.is_repeated:
        getattr(message, rule.name).extend(converted)
    elif rule.is_message:
        getattr(message, rule.name).CopyFrom(converted[0])
    else:
        setattr(message, rule.name, converted[0])


def _set_each(body: Message, rule: EachRule, mapping: _Mapping) -> None:
    found = mapping.row.value_at(rule.column)
    if found is None:
        return
    for parent in rule.parents:
        body = getattr(body, parent)
    for item in _elements(found, rule.separators):
        element = getattr(body, rule.name).add()
        for inner in rule.fields:
            _set_field(element, inner, mapping, item)


def _elements(value: Any, separators: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and separators:
        pieces = re.split(f"[{re.escape(separators)}]", value)
        return [piece.strip() for piece in pieces if piece.strip()]
    return [value]
