"""Code tables: dated rows of codes with labels, each binding its own code system only (代码表).

deploy/config/code_tables/tables.yaml names the tables; the rows of each are a CSV file beside it.
Foreign registers keep their own codes, which are not judged; but their systems are named there too,
so that a misspelt system is no way round a table.
"""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from types import MappingProxyType

from market_supervision.common.v1.envelope_pb2 import CodedValue

from services.contracts.data_files import (
    CONFIG_ROOT,
    BilingualText,
    DataFileError,
    NonEmpty,
    Row,
    read_csv,
    read_yaml,
)
from services.contracts.labels import Label
from services.contracts.regular_expressions import RegularExpression

CODE_TABLES_FOLDER = CONFIG_ROOT / "code_tables"
CATALOGUE_NAME = "tables.yaml"


class CodeRow(Row):
    """One code during one span of days (代码行)."""

    code: NonEmpty
    label_zh: NonEmpty
    label_en: NonEmpty
    parent: str = ""
    """Code one level up, where there is one."""
    covers_prefix: str = ""
    """Codes that begin so are accepted under this row when no row of their own is in force."""
    valid_from: date | None = None
    """First day in force; None: always was."""
    valid_to: date | None = None
    """Last day in force; None: still is."""
    provenance: NonEmpty
    """Where the row was taken from."""

    @property
    def label(self) -> Label:
        """Label in both languages."""
        return Label(self.label_zh, self.label_en)

    def in_force(self, on: date) -> bool:
        """Tell whether the row holds on a day."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_to is None or on <= self.valid_to
        )


class TableDescription(Row):
    """What a table is (代码表说明)."""

    code_system: NonEmpty
    label: BilingualText
    rows: NonEmpty
    """File with the rows, beside the catalogue."""
    pattern: RegularExpression
    """Regular expression that every code matches as a whole."""
    source: NonEmpty


class ForeignSystem(Row):
    """A code system whose codes are not judged here (外部代码体系)."""

    code_system: NonEmpty
    label: BilingualText
    source: NonEmpty


class _Catalogue(Row):
    tables: tuple[TableDescription, ...]
    foreign_systems: tuple[ForeignSystem, ...] = ()


class CodeTable:
    """The codes of one code system."""

    def __init__(self, description: TableDescription, rows: Iterable[CodeRow]) -> None:
        self.description = description
        self.rows = tuple(rows)
        self._pattern = re.compile(description.pattern)
        by_code: dict[str, list[CodeRow]] = {}
        by_prefix: dict[str, list[CodeRow]] = {}
        for row in self.rows:
            by_code.setdefault(row.code, []).append(row)
            if row.covers_prefix:
                by_prefix.setdefault(row.covers_prefix, []).append(row)
        self._by_code = MappingProxyType(by_code)
        self._by_prefix = MappingProxyType(by_prefix)

    def lookup(self, code: str, on: date) -> CodeRow | None:
        """Return the row a code falls under on a day: its own, else the longest prefix covering it.

        None: the code is not in force that day, or has not the form of the table.
        """
        own = _in_force(self._by_code.get(code, ()), on)
        if own is not None or not self._pattern.fullmatch(code):
            return own
        for length in range(len(code) - 1, 0, -1):
            covering = _in_force(self._by_prefix.get(code[:length], ()), on)
            if covering is not None:
                return covering
        return None


class CodeTables:
    """Every code table; never changes after loading."""

    def __init__(
        self, tables: Iterable[CodeTable], foreign_systems: Iterable[ForeignSystem] = ()
    ) -> None:
        self._foreign = frozenset(system.code_system for system in foreign_systems)
        self._tables = MappingProxyType({table.description.code_system: table for table in tables})

    @property
    def by_code_system(self) -> MappingProxyType[str, CodeTable]:
        """Every table by its code system."""
        return self._tables

    def system_problem(self, code_system: str) -> Label | None:
        """Say what is wrong with the name of a code system; None when it is registered."""
        if code_system in self._tables or code_system in self._foreign:
            return None
        return Label(
            f"未登记的代码体系“{code_system}”", f"no code system {code_system!r} is registered"
        )

    def problem(self, coded: CodedValue, on: date) -> Label | None:
        """Say what is wrong with a code on a day; None when nothing is, or no table binds it."""
        table = self._tables.get(coded.code_system)
        if table is None or table.lookup(coded.code, on) is not None:
            return None
        name, system = table.description.label, coded.code_system
        return Label(
            f"{name.zh}（{system}）在{on.isoformat()}无代码“{coded.code}”",
            f"no code {coded.code!r} in {name.en} ({system}) on {on.isoformat()}",
        )

    def label(self, coded: CodedValue, on: date) -> Label | None:
        """Return the label of a code on a day, or on any day when it is not in force then.

        None when no table has it.
        """
        table = self._tables.get(coded.code_system)
        if table is None:
            return None
        row = table.lookup(coded.code, on)
        if row is None:
            row = next((row for row in reversed(table.rows) if row.code == coded.code), None)
        return None if row is None else row.label


def load_code_tables(folder: Path = CODE_TABLES_FOLDER) -> CodeTables:
    """Read every table of the catalogue; raise DataFileError naming file, row and column."""
    catalogue_path = folder / CATALOGUE_NAME
    catalogue = read_yaml(catalogue_path, _Catalogue)
    descriptions = catalogue.tables
    named = [each.code_system for each in descriptions]
    named += [each.code_system for each in catalogue.foreign_systems]
    for number, system in enumerate(named):
        if system in named[:number]:
            raise DataFileError(catalogue_path, system, "the code system stands there twice")
    tables = [_load_table(folder, description) for description in descriptions]
    return CodeTables(tables, catalogue.foreign_systems)


def _load_table(folder: Path, description: TableDescription) -> CodeTable:
    path = folder / description.rows
    placed = list(read_csv(path, CodeRow))
    codes = {row.code for _, row in placed}
    earlier: dict[str, list[tuple[str, CodeRow]]] = {}
    for place, row in placed:
        if not re.fullmatch(description.pattern, row.code):
            reason = f"{row.code!r} does not match {description.pattern}"
            raise DataFileError(path, f"{place}, code", reason)
        if row.parent and row.parent not in codes:
            raise DataFileError(path, f"{place}, parent", f"no row has the code {row.parent!r}")
        if row.valid_from and row.valid_to and row.valid_to < row.valid_from:
            raise DataFileError(path, f"{place}, valid_to", "lies before valid_from")
        for other_place, other in earlier.setdefault(row.code, []):
            if _overlap(other, row):
                reason = f"{row.code!r} is in force on the same days at {other_place}"
                raise DataFileError(path, f"{place}, code", reason)
        earlier[row.code].append((place, row))
    return CodeTable(description, (row for _, row in placed))


def _overlap(one: CodeRow, other: CodeRow) -> bool:
    latest_start = max(one.valid_from or date.min, other.valid_from or date.min)
    earliest_end = min(one.valid_to or date.max, other.valid_to or date.max)
    return latest_start <= earliest_end


def _in_force(rows: Iterable[CodeRow], on: date) -> CodeRow | None:
    return next((row for row in rows if row.in_force(on)), None)
