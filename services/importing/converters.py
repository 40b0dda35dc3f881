"""From what stands in a cell to the value a field wants; nothing is guessed (单元格转换)."""

import datetime as dt
import hashlib
import re
import zoneinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from services.contracts.identifiers import fold_width
from services.contracts.labels import Label
from services.importing.rows import EXACT_INTEGER_MAX, as_text

_DATE_FORMS = re.compile(
    r"(?P<year>\d{4})(?:-|/|\.|年)(?P<month>\d{1,2})(?:-|/|\.|月)(?P<day>\d{1,2})日?"
    r"|(?P<year8>\d{4})(?P<month8>\d{2})(?P<day8>\d{2})"
)
_TIME_FORM = re.compile(
    r"[T ]?\s*(?P<hour>\d{1,2})(?::|时)(?P<minute>\d{1,2})(?:(?::|分)(?P<second>\d{1,2}))?秒?分?"
)
_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?E\+\d+", re.IGNORECASE)
_TRUE = frozenset({"true", "1", "yes", "y", "是", "有", "√"})
_FALSE = frozenset({"false", "0", "no", "n", "否", "无", "×"})


class ConversionError(Exception):
    """A cell cannot be the value a field wants; says why in both languages."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(english)
        self.reason = Label(chinese, english)


WHOLE_NUMBER_BOUND = 2**63
"""Fields hold 64 bits: a number of this size or more is refused before it is worked with."""


def to_text(value: Any) -> str:
    """Return a cell as text without outer blanks; refuse numbers whose digits are lost.

    A code of 18 digits in a cell formatted as a number keeps 15 of them, and no program can tell
    the others. A shorter number (a 15-digit registration number) is exact and becomes its digits.
    """
    if isinstance(value, list | dict):
        raise ConversionError(
            "应为单个值, 不是列表或对象", "a list or object where one value belongs"
        )
    if isinstance(value, float):
        _refuse_lost_digits(value)
    text = as_text(value).strip()
    if _SCIENTIFIC.fullmatch(text):
        raise _lost_digits(text)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConversionError(
            "含有不成对的代理字符, 不是有效文本", "a lone surrogate, which no text can hold"
        )
    return text


def _refuse_lost_digits(value: float) -> None:
    if abs(value) >= EXACT_INTEGER_MAX:
        raise _lost_digits(repr(value))


def _lost_digits(shown: str) -> ConversionError:
    return ConversionError(
        f"单元格为数值格式, 15位以后的数字已丢失 ({shown}); 请将该列设为文本格式后重新填写",
        f"the cell is a number and lost the digits after the 15th ({shown}); "
        "format the column as text and enter the value again",
    )


def to_integer(value: Any) -> int:
    """Return a whole number."""
    if isinstance(value, bool):
        raise ConversionError("应为整数", "not a whole number")
    if isinstance(value, float):
        _refuse_lost_digits(value)
    try:
        number = _bounded(Decimal(_plain_number(value)))
    except InvalidOperation as error:
        raise ConversionError("应为整数", "not a whole number") from error
    if number != number.to_integral_value():
        raise ConversionError("应为整数", "not a whole number")
    return int(number)


def to_decimal(value: Any) -> Decimal:
    """Return an amount of money, in the unit of the cell; at most two decimals."""
    if isinstance(value, bool):
        raise ConversionError("应为金额", "not an amount")
    try:
        number = _bounded(Decimal(_plain_number(value)))
    except InvalidOperation as error:
        raise ConversionError("应为金额, 例如 1234.50", "not an amount, such as 1234.50") from error
    if number != round(number, 2):
        raise ConversionError("金额最多两位小数", "an amount has at most two decimals")
    return number


def yuan_to_fen(value: Any) -> int:
    """Return an amount of yuan as fen (分)."""
    return int(_bounded(to_decimal(value) * 100))


def _bounded(number: Decimal) -> Decimal:
    # `1e999999` is a short text and a number of a million digits: it is not to be written out.
    if not number.is_finite() or number.copy_abs() >= WHOLE_NUMBER_BOUND:
        raise ConversionError("数值过大", "the number is too large")
    return number


def as_number(value: Any) -> Decimal | None:
    """Return a number, or a text that is one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(_plain_number(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _plain_number(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else fold_width(as_text(value))
    return text.removeprefix("¥").removesuffix("元").replace(",", "").strip()


def to_boolean(value: Any) -> bool:
    """Return yes or no; 是/否, 有/无, true/false, 1/0."""
    text = fold_width(as_text(value)).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ConversionError("应为“是”或“否”", "neither yes nor no")


def to_date(value: Any) -> dt.date:
    """Return a civil day: a date cell, 2024-03-01, 2024/3/1, 20240301, 2024年3月1日."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    if isinstance(value, float):
        raise ConversionError(
            "单元格为数值, 不是日期; 请设为日期格式",
            "a number, not a date; format the cell as a date",
        )
    text = fold_width(as_text(value))
    return _split_date(text)[0]


def to_moment(value: Any, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Return a moment with its offset; a local time, or a day alone, lies in `zone`.

    A day alone is its first moment.
    """
    if isinstance(value, dt.datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=zone)
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, dt.time(), tzinfo=zone)
    if isinstance(value, float):
        raise ConversionError(
            "单元格为数值, 不是时间; 请设为日期格式",
            "a number, not a time; format the cell as a date",
        )
    text = fold_width(as_text(value))
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError:
        day, rest = _split_date(text, whole=False)
        parsed = dt.datetime.combine(day, _to_time(rest))
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)


def _split_date(text: str, *, whole: bool = True) -> tuple[dt.date, str]:
    matched = _DATE_FORMS.match(text)
    if matched is None or (whole and matched.end() != len(text)):
        raise ConversionError("应为日期, 例如 2024-03-01", "not a date, such as 2024-03-01")
    parts = matched.groupdict()
    year, month, day = (int(parts[name] or parts[f"{name}8"]) for name in ("year", "month", "day"))
    try:
        return dt.date(year, month, day), text[matched.end() :]
    except ValueError as error:
        raise ConversionError("日历上没有这一天", "no such day in the calendar") from error


def _to_time(text: str) -> dt.time:
    matched = _TIME_FORM.fullmatch(text) if text else None
    if text and matched is None:
        raise ConversionError(
            "应为时间, 例如 2024-03-01 09:30", "not a time, such as 2024-03-01 09:30"
        )
    if matched is None:
        return dt.time()
    try:
        return dt.time(int(matched["hour"]), int(matched["minute"]), int(matched["second"] or 0))
    except ValueError as error:
        raise ConversionError("没有这个时刻", "no such time of day") from error


def to_slug(value: Any, length_max: int) -> str:
    """Return a published phrase as a code: lower case, words joined by hyphens.

    One that is too long is cut and ends with a digest of the whole, so that two stay two.
    """
    text = to_text(value)
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if len(slug) <= length_max:
        return slug
    digest = hashlib.sha256(slug.encode()).hexdigest()[:8]
    return f"{slug[: length_max - 9].rstrip('-')}-{digest}"
