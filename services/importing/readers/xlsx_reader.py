"""Spreadsheets, through calamine: the first row that is not blank is the header."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, WorksheetNotFound

from services.contracts.labels import Label
from services.importing.errors import FileUnreadableError
from services.importing.rows import Row, as_text


class XlsxReader:
    """Reads one sheet; numbers and dates keep their type, because text would hide their damage."""

    def __init__(self, path: Path, *, sheet: str | None = None) -> None:
        self.path = path
        self._sheet_name = sheet

    @cached_property
    def _sheet(self) -> CalamineSheet:
        try:
            workbook = CalamineWorkbook.from_path(self.path)
            if self._sheet_name is not None:
                return workbook.get_sheet_by_name(self._sheet_name)
            return workbook.get_sheet_by_index(0)
        except WorksheetNotFound as error:
            raise FileUnreadableError(
                Label(
                    f"工作表不存在: {self._sheet_name}: {self.path}",
                    f"no such sheet: {self._sheet_name}: {self.path}",
                )
            ) from error
        except (CalamineError, OSError) as error:
            raise FileUnreadableError(
                Label(
                    f"无法读取电子表格: {self.path}: {error}",
                    f"the spreadsheet cannot be read: {self.path}: {error}",
                )
            ) from error

    @property
    def columns(self) -> tuple[str, ...]:
        """The header, without empty columns at its end."""
        return self._header[1]

    @cached_property
    def _header(self) -> tuple[int, tuple[str, ...]]:
        for number, cells in enumerate(self._sheet.iter_rows(), start=1):
            if _has_content(cells):
                return number, self._checked_header([as_text(cell).strip() for cell in cells])
        raise FileUnreadableError(
            Label(f"工作表没有表头: {self.path}", f"the sheet has no header row: {self.path}")
        )

    def _checked_header(self, header: list[str]) -> tuple[str, ...]:
        while header and not header[-1]:
            header.pop()
        repeated = sorted({column for column in header if header.count(column) > 1})
        if not header or repeated or "" in header:
            detail = ", ".join(repeated) or "empty column name"
            raise FileUnreadableError(
                Label(
                    f"表头的列名为空或重复 ({detail}): {self.path}",
                    f"empty or repeated column names in the header ({detail}): {self.path}",
                )
            )
        return tuple(header)

    def rows(self) -> Iterator[Row]:
        """Read from the start, passing over blank rows; numbers are those of the sheet."""
        header = self.columns
        for number, cells in self._records():
            values = dict(zip(header, cells, strict=False))
            original = {column: as_text(values.get(column)) for column in header}
            surplus = [cell for cell in cells[len(header) :] if as_text(cell).strip()]
            if surplus:
                english = f"a value stands beyond the last column: {as_text(surplus[0])}"
                chinese = f"最后一列之后还有值: {as_text(surplus[0])}"
                yield Row(number, {}, original, defect=(header[-1], english, chinese))
            else:
                yield Row(number, values, original)

    def count(self) -> int:
        """Count the rows that are not blank."""
        return sum(1 for _ in self._records())

    def _records(self) -> Iterator[tuple[int, Sequence[object]]]:
        header_number, _ = self._header
        for number, cells in enumerate(self._sheet.iter_rows(), start=1):
            if number > header_number and _has_content(cells):
                yield number, cells


def _has_content(cells: Sequence[object]) -> bool:
    return any(as_text(cell).strip() for cell in cells)
