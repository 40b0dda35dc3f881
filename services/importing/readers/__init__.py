"""Readers (文件读取): CSV, XLSX and JSON lines become rows, whatever the rows mean."""

from pathlib import Path

from services.contracts.labels import Label
from services.importing.errors import FileUnreadableError
from services.importing.readers.csv_reader import CsvReader
from services.importing.readers.interface import Reader
from services.importing.readers.jsonl_reader import JsonLinesReader
from services.importing.readers.xlsx_reader import XlsxReader

__all__ = ["Reader", "open_reader"]


def open_reader(path: Path, *, sheet: str | None = None) -> Reader:
    """Open a file by the end of its name; raise FileUnreadableError when it cannot be read.

    `.csv`; `.xlsx`, `.xls`, `.xlsb`, `.ods` (the first sheet unless `sheet` names another);
    `.jsonl`, `.ndjson`, each also with `.gz`.
    """
    if not path.is_file():
        raise FileUnreadableError(Label(f"文件不存在: {path}", f"no such file: {path}"))
    name = path.name.lower()
    if name.endswith(".csv"):
        return CsvReader(path)
    if name.endswith((".xlsx", ".xls", ".xlsb", ".ods")):
        return XlsxReader(path, sheet=sheet)
    if name.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")):
        return JsonLinesReader(path)
    raise FileUnreadableError(
        Label(
            f"不支持的文件类型: {path.name} (支持 .csv .xlsx .jsonl .jsonl.gz)",
            f"file type not supported: {path.name} (.csv, .xlsx, .jsonl and .jsonl.gz are)",
        )
    )
