"""JSON lines, plain or gzip: one object a line."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from services.contracts.labels import Label
from services.importing.errors import FileUnreadableError
from services.importing.rows import RECORD_COLUMN, Row

LINE_BYTES_MAX = 1024 * 1024
"""A longer line is refused: an intake takes no larger event."""


class JsonLinesReader:
    """Reads `.jsonl` and `.jsonl.gz`; blank lines are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def columns(self) -> tuple[str, ...]:
        """The line as a whole: nested objects have no columns of their own."""
        return (RECORD_COLUMN,)

    def rows(self) -> Iterator[Row]:
        """Read from the start; raises FileUnreadableError on a broken gzip stream."""
        for number, line in self._lines():
            yield json_row(number, line)

    def count(self) -> int:
        """Count the lines that are not blank."""
        return sum(1 for _ in self._lines())

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        try:
            with self._open() as stream:
                while line := stream.readline(LINE_BYTES_MAX + 1):
                    number += 1
                    if len(line) > LINE_BYTES_MAX:
                        _skip_rest_of_line(stream, line)
                    if number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    stripped = line.strip()
                    if stripped:
                        yield number, stripped
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileUnreadableError(
                Label(
                    f"压缩文件损坏 (第{number}行之后): {self.path}",
                    f"broken gzip file after line {number}: {self.path}: {error}",
                )
            ) from error

    def _open(self) -> IO[bytes]:
        if self.path.name.lower().endswith(".gz"):
            return cast("IO[bytes]", gzip.open(self.path, "rb"))
        return self.path.open("rb")


def _skip_rest_of_line(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(LINE_BYTES_MAX)


def json_row(number: int, line: bytes) -> Row:
    """Return one JSON line as a row; with a defect when it is no JSON object."""
    original = {RECORD_COLUMN: line.decode("utf-8", errors="backslashreplace")}
    if len(line) > LINE_BYTES_MAX:
        # Not kept whole: a line of this size is damage, and a rejects file must stay readable.
        head = {RECORD_COLUMN: original[RECORD_COLUMN][:1000]}
        return _defective(number, head, "longer than 1 MiB", "超过1 MiB")
    try:
        values = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        return _defective(number, original, f"not UTF-8 at byte {error.start}", "不是UTF-8编码")
    except (ValueError, RecursionError) as error:
        return _defective(number, original, f"not JSON: {error}", "不是合法的JSON")
    if not isinstance(values, dict):
        return _defective(number, original, "not a JSON object", "不是JSON对象")
    return Row(number, cast("dict[str, Any]", values), original)


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _defective(number: int, original: dict[str, str], english: str, chinese: str) -> Row:
    return Row(number, {}, original, defect=(RECORD_COLUMN, english, chinese))
