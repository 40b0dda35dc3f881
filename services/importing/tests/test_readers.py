"""Readers give every row once, whatever the encoding and the types of its cells."""

import datetime as dt
import gzip
from pathlib import Path

import pytest
import xlsxwriter

from services.importing.errors import FileUnreadableError
from services.importing.readers import open_reader
from services.importing.readers.csv_reader import CsvReader

RARE = "㙟𠮷龑犇"
"""Characters outside GBK; the second lies outside the basic plane."""


def write(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_with_rare_characters_is_read_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    """UTF-8 with or without mark, else GB 18030, gives the same text."""
    text = f"名称,编号\r\n中山市{RARE}店,1\r\n"
    reader = open_reader(write(tmp_path / "a.csv", text.encode(encoding)))
    assert reader.columns == ("名称", "编号")
    assert [dict(row.values) for row in reader.rows()] == [{"名称": f"中山市{RARE}店", "编号": "1"}]


def test_csv_with_gb18030_mark_keeps_its_first_column_name(tmp_path: Path) -> None:
    """The byte-order mark of GB 18030 is no part of the header."""
    data = "\ufeff名称,编号\r\n甲,1\r\n".encode("gb18030")
    assert open_reader(write(tmp_path / "a.csv", data)).columns == ("名称", "编号")


def test_csv_in_no_known_encoding_is_refused_with_the_place(tmp_path: Path) -> None:
    """A file that is neither UTF-8 nor GB 18030 is refused as a whole, naming the byte."""
    path = write(tmp_path / "a.csv", "名称\r\n".encode() + b"\xff\xff\r\n")
    with pytest.raises(FileUnreadableError, match="byte 8"):
        open_reader(path).count()


def test_csv_whose_encoding_changes_late_is_judged_whole(tmp_path: Path) -> None:
    """One GB 18030 byte pair after a megabyte of ASCII makes the file GB 18030."""
    body = b"a\r\n" + b"x\r\n" * 500_000 + "店".encode("gb18030") + b"\r\n"
    reader = CsvReader(write(tmp_path / "a.csv", body))
    assert reader.encoding == "gb18030"
    assert [row.values["a"] for row in reader.rows()][-1] == "店"


def test_csv_in_utf16_is_refused_with_advice(tmp_path: Path) -> None:
    """What spreadsheets call Unicode text gets told how to be saved."""
    path = write(tmp_path / "a.csv", "名称\r\n".encode("utf-16"))
    with pytest.raises(FileUnreadableError, match="CSV UTF-8"):
        open_reader(path).count()


def test_csv_row_with_too_many_cells_has_a_defect_and_the_next_is_read(tmp_path: Path) -> None:
    """A row that does not fit its header is one bad row, not a bad file."""
    reader = open_reader(write(tmp_path / "a.csv", b"a,b\n1,2,3\n4\n\n5,6\n"))
    rows = list(reader.rows())
    assert [row.number for row in rows] == [2, 3, 5]
    assert rows[0].defect is not None
    assert rows[0].original == {"a": "1", "b": "2"}
    assert rows[1].values == {"a": "4", "b": ""}
    assert reader.count() == 3


@pytest.mark.parametrize("header", ["a,a", "a,,b", ""])
def test_csv_with_an_ambiguous_header_is_refused(tmp_path: Path, header: str) -> None:
    """Two columns of one name, or one without, would lose data silently."""
    with pytest.raises(FileUnreadableError):
        list(open_reader(write(tmp_path / "a.csv", f"{header}\n1,2,3\n".encode())).rows())


def test_csv_with_an_unclosed_quote_is_refused(tmp_path: Path) -> None:
    """An unclosed quote swallows rows, so the file is refused."""
    with pytest.raises(FileUnreadableError, match="broken CSV"):
        list(open_reader(write(tmp_path / "a.csv", b'a,b\n1,"2\n3,4\n')).rows())


def test_xlsx_keeps_numbers_and_dates_typed_and_the_sheets_row_numbers(tmp_path: Path) -> None:
    """A number stays a number and a date a date; rows count as the sheet shows them."""
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(2, 0, ["代码", "日期", "名称"])
        sheet.write_number(4, 0, 442000123456789)
        sheet.write_datetime(4, 1, dt.datetime(2024, 3, 1), day)  # noqa: DTZ001 - a sheet has none
        sheet.write_string(4, 2, RARE)
    reader = open_reader(path)
    assert reader.columns == ("代码", "日期", "名称")
    (row,) = reader.rows()
    assert row.number == 5
    assert row.values == {
        "代码": 442000123456789.0,
        "日期": dt.date(2024, 3, 1),
        "名称": RARE,
    }
    assert row.original == {"代码": "442000123456789", "日期": "2024-03-01", "名称": RARE}


def test_xlsx_code_that_lost_digits_is_kept_in_a_form_nobody_takes_for_a_code(
    tmp_path: Path,
) -> None:
    """The original of an 18-digit number cell must not look like 18 digits."""
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_string(0, 0, "代码")
        sheet.write_number(1, 0, 914420001234567890)
    (row,) = open_reader(path).rows()
    assert row.original["代码"] == "9.14420001234568e+17"


def test_xlsx_without_the_sheet_named_is_refused(tmp_path: Path) -> None:
    """Naming a sheet that is not there is an error of the whole file."""
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        book.add_worksheet("甲").write_string(0, 0, "a")
    with pytest.raises(FileUnreadableError, match="乙"):
        open_reader(path, sheet="乙").count()


def test_jsonl_with_broken_lines_gives_them_as_defects(tmp_path: Path) -> None:
    """A line that is no JSON object is one bad row with its text; blank lines are passed over."""
    lines = b'{"a": 1}\n\nnot json\n[1]\n{"a": NaN}\n\xff\n{"a": {"b": [7, 8]}}\n'
    reader = open_reader(write(tmp_path / "a.jsonl", lines))
    rows = list(reader.rows())
    assert [(row.number, row.defect is None) for row in rows] == [
        (1, True),
        (3, False),
        (4, False),
        (5, False),
        (6, False),
        (7, True),
    ]
    assert rows[1].original == {"record": "not json"}
    assert rows[5].value_at("a.b.1") == 8
    assert rows[5].value_at("a.b.2") is None
    assert rows[5].value_at("a.c") is None
    assert reader.count() == 6


def test_jsonl_gz_cut_short_is_refused(tmp_path: Path) -> None:
    """Half a gzip file is not a short file."""
    whole = gzip.compress(b"".join(b'{"a": %d}\n' % number for number in range(10_000)))
    path = write(tmp_path / "a.jsonl.gz", whole[: len(whole) // 2])
    with pytest.raises(FileUnreadableError, match="broken gzip"):
        open_reader(path).count()


def test_file_of_unknown_type_or_absent_is_refused(tmp_path: Path) -> None:
    """A name that ends otherwise, or no file, is refused before anything is read."""
    with pytest.raises(FileUnreadableError, match="not supported"):
        open_reader(write(tmp_path / "a.doc", b""))
    with pytest.raises(FileUnreadableError, match="no such file"):
        open_reader(tmp_path / "none.csv")
