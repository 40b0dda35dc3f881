"""Checking a profile against the contracts, once, and making its rules run (导入配置编译)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from market_supervision.common.v1.envelope_pb2 import EventEnvelope

from services.contracts.data_files import DataFileError, read_csv
from services.contracts.data_files import Row as DataRow
from services.contracts.families import FAMILY_BY_NAME, SET_BY_INTAKE
from services.contracts.key_schemes import KeySchemes
from services.importing.compiled import (
    CompiledEvent,
    CompiledKey,
    CompiledProfile,
    CompiledRefusal,
    EachRule,
    FieldRule,
)
from services.importing.field_types import (
    UnsupportedFieldError,
    converter_for,
    enum_names,
)
from services.importing.profile import Each, EventRule, ImportProfile, Value
from services.importing.sources import (
    Source,
    Test,
    compile_lookup,
    compile_source,
    compile_when,
    template_columns,
)

EVENT_TIME = "event_time"
SET_BY_PROFILE_ELSEWHERE = frozenset({"entity_key", "utc_offset_minutes"})


class _Place:
    """Where in the profile something stands, for the error."""

    def __init__(self, path: Path, place: str = "") -> None:
        self.path = path
        self.place = place

    def below(self, name: str | int) -> "_Place":
        return _Place(self.path, f"{self.place}.{name}" if self.place else str(name))

    def error(self, reason: str) -> DataFileError:
        return DataFileError(self.path, self.place, reason)


def compile_profile(profile: ImportProfile, path: Path, schemes: KeySchemes) -> CompiledProfile:
    """Check every rule; raise DataFileError naming the file and the rule that cannot hold."""
    top = _Place(path)
    compiler = _Compiler(path.parent)
    keys = []
    for number, key in enumerate(profile.entity_key):
        place = top.below("entity_key").below(number)
        if key.scheme not in schemes.by_name:
            raise place.error(f"key scheme {key.scheme!r} is not registered")
        keys.append(CompiledKey(key.scheme, compiler.source(key.value, place)))
    key_columns = [name for key in profile.entity_key for name in _read_columns(key.value)]
    compiler.key_columns["envelope.entity_key"] = "; ".join(dict.fromkeys(key_columns))
    refusals = tuple(
        CompiledRefusal(compiler.when(refusal.when), tuple(refusal.when), refusal.reason.label())
        for refusal in profile.refuse
    )
    events = tuple(
        compiler.event(rule, profile.envelope, top.below("events").below(number))
        for number, rule in enumerate(profile.events)
    )
    known = frozenset(compiler.columns) if profile.known_columns_only else None
    selecting = tuple(dict.fromkeys(name for rule in profile.events for name in rule.when))
    return CompiledProfile(
        name=profile.profile,
        keys=tuple(keys),
        refusals=refusals,
        events=events,
        schemes=schemes,
        selecting_columns=selecting,
        known_columns=known,
        files=(path, *compiler.map_paths),
    )


class _Compiler:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._map_files: dict[str, dict[str, Any]] = {}
        self.map_paths: list[Path] = []
        self.columns: set[str] = set()
        self.key_columns: dict[str, str] = {}

    def when(self, when: Mapping[str, Any]) -> Test:
        self.columns.update(when)
        return compile_when(dict(when))

    def event(self, rule: EventRule, shared: Mapping[str, Value], place: _Place) -> CompiledEvent:
        family = FAMILY_BY_NAME.get(rule.family)
        if family is None:
            raise place.below("family").error(f"no family {rule.family!r}")
        if rule.event not in family.arms:
            raise place.below("event").error(f"{rule.family} has no event {rule.event!r}")
        envelope = {**shared, **rule.envelope}
        if EVENT_TIME not in envelope:
            raise place.below("envelope").error("event_time is missing")
        event_time = self.source(envelope[EVENT_TIME], place.below("envelope").below(EVENT_TIME))
        body = _message_of(family.message_class.DESCRIPTOR.fields_by_name[rule.event])
        envelope_place = place.below("envelope")
        return CompiledEvent(
            applies=self.when(rule.when),
            family=family,
            arm=rule.event,
            event_time=event_time,
            envelope=self._envelope(envelope, envelope_place),
            body=tuple(
                self._each(name, value, body, place.below("fields"))
                if isinstance(value, Each)
                else self._field(name, value, body, place.below("fields"))
                for name, value in rule.fields.items()
            ),
            columns_by_field={**self.key_columns, **_columns_by_field(rule, envelope)},
        )

    def _envelope(self, values: Mapping[str, Value], place: _Place) -> tuple[FieldRule, ...]:
        rules = []
        for name, value in values.items():
            if name in SET_BY_PROFILE_ELSEWHERE:
                raise place.below(name).error("is set by entity_key and event_time of the profile")
            if name in SET_BY_INTAKE:
                raise place.below(name).error("is set by the intake")
            if name != EVENT_TIME:
                rules.append(self._field(name, value, EventEnvelope.DESCRIPTOR, place))
        return tuple(rules)

    def _each(self, name: str, value: Each, message: Descriptor, place: _Place) -> EachRule:
        parents, field = self._resolve(name, message, place)
        if not field.is_repeated or field.message_type is None:
            raise place.below(name).error("`each` needs a repeated message")
        self.columns.add(value.each)
        return EachRule(
            parents,
            field.name,
            value.each,
            value.separators,
            tuple(
                self._field(inner, rule, field.message_type, place.below(name).below("fields"))
                for inner, rule in value.fields.items()
            ),
        )

    def _field(self, name: str, value: Value, message: Descriptor, place: _Place) -> FieldRule:
        parents, field = self._resolve(name, message, place)
        here = place.below(name)
        try:
            convert = converter_for(field, value)
        except UnsupportedFieldError as error:
            raise here.error(str(error)) from error
        self._check_values(field, value, here)
        return FieldRule(
            parents=parents,
            name=field.name,
            is_repeated=field.is_repeated,
            is_message=field.message_type is not None,
            source=self.source(value, here),
            lookup=compile_lookup(value, self._mapping(value)),
            convert=convert,
            separators=value.separators,
            required=value.required,
            reads_row=value.constant is None,
        )

    def _resolve(
        self, name: str, message: Descriptor, place: _Place
    ) -> tuple[tuple[str, ...], FieldDescriptor]:
        *parents, last = name.split(".")
        for parent in parents:
            field = message.fields_by_name.get(parent)
            if field is None or field.message_type is None or field.is_repeated:
                raise place.below(name).error(f"{message.full_name} has no message {parent!r}")
            message = field.message_type
        found = message.fields_by_name.get(last)
        if found is None:
            raise place.below(name).error(f"{message.full_name} has no field {last!r}")
        return tuple(parents), found

    def _check_values(self, field: FieldDescriptor, value: Value, place: _Place) -> None:
        """Refuse constants and map targets that the field could never take."""
        if field.enum_type is None:
            return
        names = enum_names(field.enum_type)
        constants = value.constant if isinstance(value.constant, tuple) else (value.constant,)
        mapped = (self._mapping(value) or {}).values()
        for target in (*constants, *mapped):
            if target is not None and str(target).upper() not in names:
                raise place.error(f"{field.enum_type.full_name} has no value {target!r}")

    def source(self, value: Value, place: _Place) -> Source:
        self.columns.update(value.columns())
        if value.currency is not None:
            self.columns.add(value.currency)
        if value.template is not None:
            try:
                self.columns.update(template_columns(value.template))
            except ValueError as error:
                raise place.below("template").error(str(error)) from error
        return compile_source(value)

    def _mapping(self, value: Value) -> Mapping[str, Any] | None:
        if value.map_file is None:
            return value.map
        if value.map_file not in self._map_files:
            path = self._folder / value.map_file
            rows: dict[str, Any] = {}
            for line, row in read_csv(path, _MapRow):
                if row.text in rows:
                    raise DataFileError(path, line, f"the text stands there twice: {row.text}")
                rows[row.text] = row.value
            self._map_files[value.map_file] = rows
            self.map_paths.append(path)
        return self._map_files[value.map_file]


def _columns_by_field(rule: EventRule, envelope: Mapping[str, Value]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name, value in envelope.items():
        columns[f"envelope.{name}"] = "; ".join(_read_columns(value))
    for name, field in rule.fields.items():
        read = (field.each,) if isinstance(field, Each) else _read_columns(field)
        columns[f"{rule.event}.{name}"] = "; ".join(read)
    return {path: named for path, named in columns.items() if named}


def _read_columns(value: Value) -> tuple[str, ...]:
    return value.columns() if value.template is None else template_columns(value.template)


def _message_of(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        message = f"{field.full_name} is not a message"
        raise TypeError(message)
    return field.message_type


class _MapRow(DataRow):
    text: str
    value: str | None = None
