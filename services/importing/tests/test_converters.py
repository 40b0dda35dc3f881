"""A cell becomes a value, or is refused with a reason; nothing is guessed."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.importing.converters import (
    ConversionError,
    as_number,
    to_boolean,
    to_date,
    to_integer,
    to_moment,
    to_slug,
    to_text,
    yuan_to_fen,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" 甲 ", "甲"),
        (442000123456789.0, "442000123456789"),
        (7, "7"),
        (2.5, "2.5"),
        (True, "true"),
    ],
)
def test_text_of_an_exact_cell_is_its_digits(cell: Any, text: str) -> None:
    """A 15-digit number in a cell is exact, and repaired to its digits."""
    assert to_text(cell) == text


@pytest.mark.parametrize("cell", [914420001234567890.0, float(2**53), "9.14420001234567E+17"])
def test_text_of_a_number_that_lost_digits_is_refused(cell: Any) -> None:
    """An 18-digit code in a number cell cannot be known any more, whoever shows it."""
    with pytest.raises(ConversionError, match="lost the digits"):
        to_text(cell)


@pytest.mark.parametrize(
    ("cell", "fen"),
    [("1,234.50", 123450), ("￥100", 10000), ("12.3元", 1230), (0.29, 29), (1000.0, 100000)],
)
def test_yuan_become_fen_exactly(cell: Any, fen: int) -> None:
    """Money never goes through a binary fraction."""
    assert yuan_to_fen(cell) == fen


@pytest.mark.parametrize(
    "cell",
    [
        "1.005",
        "一百",
        "NaN",
        "inf",
        True,
        "1e30",
        "1e999999",
        "1e9999999",
        "-1e19",
        1e308,
        "6222021234567890123",
        "92233720368547758.08",
        "1e-999999",
        "1e-9999999",
    ],
)
def test_yuan_that_are_no_amount_are_refused(cell: Any) -> None:
    """Fractions of a fen, words, and what no field can hold are refused, at once."""
    with pytest.raises(ConversionError):
        yuan_to_fen(cell)


@pytest.mark.parametrize(
    "cell",
    [
        dt.date(2024, 3, 1),
        "2024-03-01",
        "2024/3/1",
        "20240301",
        "2024年3月1日",
        "２０２４．３．１",
    ],
)
def test_date_in_any_common_form_is_the_same_day(cell: Any) -> None:
    """The forms people write are one day."""
    assert to_date(cell) == dt.date(2024, 3, 1)


@pytest.mark.parametrize("cell", ["2024-02-30", "3/1/2024", "2024-03", 45352.0, "明天"])
def test_date_that_is_none_or_ambiguous_is_refused(cell: Any) -> None:
    """No such day, an order of parts that varies by country, and bare numbers are refused."""
    with pytest.raises(ConversionError):
        to_date(cell)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-03-01", "2024-03-01T00:00:00+08:00"),
        ("2024-03-01 09:30", "2024-03-01T09:30:00+08:00"),
        ("2024年3月1日9时30分", "2024-03-01T09:30:00+08:00"),
        ("2024/3/1 9:30:15", "2024-03-01T09:30:15+08:00"),
        ("2010-07-01T15:00:00-04:00", "2010-07-01T15:00:00-04:00"),
        (dt.date(2024, 3, 1), "2024-03-01T00:00:00+08:00"),
    ],
)
def test_moment_without_an_offset_lies_in_the_zone_of_the_entity(cell: Any, moment: str) -> None:
    """A stated offset is kept; a local time and a day lie in the scheme's zone."""
    assert to_moment(cell, SHANGHAI).isoformat() == moment


def test_moment_follows_the_zones_change_of_clocks() -> None:
    """The offset is that of the day, not of the year."""
    chicago = ZoneInfo("America/Chicago")
    assert to_moment("2011-01-04", chicago).utcoffset() == dt.timedelta(hours=-6)
    assert to_moment("2011-07-04", chicago).utcoffset() == dt.timedelta(hours=-5)


@pytest.mark.parametrize("cell", ["2024-03-01 25:00", "2024-03-01 morning", 45352.4])
def test_moment_that_is_none_is_refused(cell: Any) -> None:
    """A time of day that does not exist is refused."""
    with pytest.raises(ConversionError):
        to_moment(cell, SHANGHAI)


@pytest.mark.parametrize(
    ("convert", "cell", "value"),
    [(to_boolean, "是", True), (to_boolean, "否", False), (to_integer, 3.0, 3)],
)
def test_yes_no_and_whole_numbers(convert: Callable[[Any], Any], cell: Any, value: Any) -> None:
    """Yes, no and whole numbers are understood in the forms of a sheet."""
    assert convert(cell) is value or convert(cell) == value


@pytest.mark.parametrize(
    ("convert", "cell"), [(to_boolean, "也许"), (to_integer, 2.5), (to_integer, "三")]
)
def test_neither_yes_nor_whole_is_refused(convert: Callable[[Any], Any], cell: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConversionError):
        convert(cell)


def test_slug_of_long_phrases_stays_within_its_length_and_apart() -> None:
    """Two long phrases that begin alike become two codes, each the same every time."""
    first, second = (to_slug("Fail to " + "provide " * 12 + end, 64) for end in ("a", "b"))
    assert first != second
    assert max(len(first), len(second)) <= 64
    assert to_slug("O. Reg  562/90 Sec. 26", 64) == "o-reg-562-90-sec-26"


@pytest.mark.parametrize("cell", ["9" * 20, "1e999999", "1e9999999", "-9223372036854775808"])
def test_integer_of_more_than_64_bits_is_refused(cell: str) -> None:
    """A card number in the wrong column is a row problem, and takes no time."""
    with pytest.raises(ConversionError):
        to_integer(cell)


def test_integer_of_64_bits_is_kept() -> None:
    """The largest number a field can hold passes."""
    assert to_integer(str(2**63 - 1)) == 2**63 - 1


def test_text_with_a_lone_surrogate_is_refused() -> None:
    """JSON can write half a character; UTF-8 cannot."""
    with pytest.raises(ConversionError, match="surrogate"):
        to_text("a\ud800b")


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1,234.5", "1234.5"), (3, "3"), (0.5, "0.5"), ("x", None), (True, None), ("NaN", None)],
)
def test_number_of_a_text_counts_like_a_number(cell: Any, number: str | None) -> None:
    """A condition on a number holds for a table as it does for JSON."""
    assert as_number(cell) == (None if number is None else Decimal(number))
