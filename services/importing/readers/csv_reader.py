"""CSV in UTF-8 (with or without byte-order mark), else GB 18030; takes rejects files back."""

import codecs
import csv
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from services.contracts.labels import Label
from services.importing.errors import FileUnreadableError
from services.importing.readers.jsonl_reader import json_row
from services.importing.rejects_format import PREFIX, is_rejects_header, original_cells
from services.importing.rows import RECORD_COLUMN, Row

CELL_CHARACTERS_MAX = 1024 * 1024
"""A longer cell means an unclosed quote; JSON lines in a rejects file stay below it."""

_CHUNK = 1024 * 1024
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class CsvReader:
    """Reads comma-separated files whose first row is the header."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def encoding(self) -> str:
        """`utf-8-sig` when every byte of the file is UTF-8, else `gb18030` when every byte is that.

        A file is never half one and half the other, so the whole file decides.
        """
        with self.path.open("rb") as stream:
            if stream.read(2) in _UTF16_MARKS:
                raise FileUnreadableError(
                    Label(
                        f"文件为UTF-16编码, 请另存为“CSV UTF-8”: {self.path}",
                        f"the file is UTF-16; save it as 'CSV UTF-8': {self.path}",
                    )
                )
        utf8 = self._first_undecodable("utf-8")
        if utf8 is None:
            return "utf-8-sig"
        gb18030 = self._first_undecodable("gb18030")
        if gb18030 is None:
            return "gb18030"
        raise FileUnreadableError(
            Label(
                f"文件既不是UTF-8 (字节{utf8}) 也不是GB 18030 (字节{gb18030}): {self.path}",
                f"the file is neither UTF-8 (byte {utf8}) nor GB 18030 (byte {gb18030}): "
                f"{self.path}",
            )
        )

    def _first_undecodable(self, encoding: str) -> int | None:
        decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
        offset = 0
        with self.path.open("rb") as stream:
            while True:
                chunk = stream.read(_CHUNK)
                pending = len(decoder.getstate()[0])
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    return offset - pending + error.start
                if not chunk:
                    return None
                offset += len(chunk)

    @cached_property
    def _header(self) -> tuple[str, ...]:
        for number, cells in self._records():
            if number == 1:
                return self._checked_header(tuple(cell.strip() for cell in cells))
            break
        raise FileUnreadableError(
            Label(f"文件没有表头: {self.path}", f"the file has no header row: {self.path}")
        )

    def _checked_header(self, header: tuple[str, ...]) -> tuple[str, ...]:
        while header and not header[-1]:
            header = header[:-1]
        repeated = sorted({column for column in header if header.count(column) > 1})
        if not header or repeated or "" in header:
            detail = ", ".join(repeated) or "empty column name"
            raise FileUnreadableError(
                Label(
                    f"表头的列名为空或重复 ({detail}): {self.path}",
                    f"empty or repeated column names in the header ({detail}): {self.path}",
                )
            )
        return header

    @property
    def columns(self) -> tuple[str, ...]:
        """The header; of a rejects file only the original columns."""
        if self._is_rejects_file:
            return tuple(name for name in self._header if not name.startswith(PREFIX))
        return self._header

    @cached_property
    def _is_rejects_file(self) -> bool:
        return is_rejects_header(self._header)

    def rows(self) -> Iterator[Row]:
        """Read from the start, passing over blank rows; the header has number 1."""
        header = self._header
        for number, cells in self._records():
            if number > 1 and any(cell.strip() for cell in cells):
                yield self._row(number, header, cells)

    def _row(self, number: int, header: tuple[str, ...], cells: list[str]) -> Row:
        surplus = [cell for cell in cells[len(header) :] if cell.strip()]
        padded = cells + [""] * (len(header) - len(cells))
        named = dict(zip(header, padded, strict=False))
        original = original_cells(named) if self._is_rejects_file else named
        if surplus:
            return Row(
                number,
                {},
                original,
                defect=(
                    header[-1],
                    f"the row has {len(cells)} cells, the header {len(header)}",
                    f"该行有{len(cells)}格, 表头为{len(header)}列",
                ),
            )
        if self._is_rejects_file and tuple(original) == (RECORD_COLUMN,):
            return json_row(number, original[RECORD_COLUMN].strip().encode())
        return Row(number, original, original)

    def count(self) -> int:
        """Count the rows that are not blank."""
        return sum(
            1
            for number, cells in self._records()
            if number > 1 and any(cell.strip() for cell in cells)
        )

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(CELL_CHARACTERS_MAX)
        with self.path.open(encoding=self.encoding, newline="") as stream:
            reader = csv.reader(stream, strict=True)
            try:
                for number, cells in enumerate(reader, start=1):
                    if number == 1 and cells:
                        # GB 18030 has a byte-order mark of its own, which its decoder leaves.
                        cells[0] = cells[0].removeprefix("\ufeff")
                    yield number, cells
            except csv.Error as error:
                raise FileUnreadableError(
                    Label(
                        f"CSV格式错误 (第{reader.line_num}行附近): {self.path}",
                        f"broken CSV near line {reader.line_num}: {self.path}: {error}",
                    )
                ) from error
