"""A profile whose every rule was checked, in the form that mapping.py runs (已编译的导入配置)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.contracts.families import Family
from services.contracts.key_schemes import KeySchemes
from services.contracts.labels import Label
from services.importing.field_types import Convert
from services.importing.sources import Lookup, Source, Test


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field: where it lies below its message, where its value comes from, what it becomes."""

    parents: tuple[str, ...]
    name: str
    is_repeated: bool
    is_message: bool
    source: Source
    lookup: Lookup
    """The profile's map, for each element."""
    convert: Convert
    separators: str
    required: bool
    reads_row: bool
    """Whether the value comes out of the row, and is not a constant."""


@dataclass(frozen=True, slots=True)
class EachRule:
    """One repeated message."""

    parents: tuple[str, ...]
    name: str
    column: str
    separators: str
    fields: tuple[FieldRule, ...]


@dataclass(frozen=True, slots=True)
class CompiledEvent:
    """One event rule, ready to run."""

    applies: Test
    family: Family
    arm: str
    event_time: Source
    envelope: tuple[FieldRule, ...]
    body: tuple[FieldRule | EachRule, ...]
    columns_by_field: Mapping[str, str]
    """Columns a field of the event was read from, by its path; for what the service refuses."""


@dataclass(frozen=True, slots=True)
class CompiledKey:
    """One way to the entity key, ready to run."""

    scheme: str
    source: Source


@dataclass(frozen=True, slots=True)
class CompiledRefusal:
    """Rows that are refused for a reason of the profile's."""

    applies: Test
    columns: tuple[str, ...]
    reason: Label


@dataclass(frozen=True, slots=True)
class CompiledProfile:
    """A profile whose every rule was checked against the contracts."""

    name: str
    keys: tuple[CompiledKey, ...]
    refusals: tuple[CompiledRefusal, ...]
    events: tuple[CompiledEvent, ...]
    schemes: KeySchemes
    selecting_columns: tuple[str, ...]
    """Columns that decide which event a row becomes."""
    known_columns: frozenset[str] | None
    """Columns that rules read; None where other columns may stand there too."""
    files: tuple[Path, ...]
    """The profile's file and its map files: what decides how a row is read."""
