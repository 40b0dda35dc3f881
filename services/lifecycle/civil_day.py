"""Civil days of a zone. Pure: a table of the zone's offsets, no clock."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.lifecycle.folding.contribution import DayOf

_DAY_MS = 86_400_000
_QUARTER_MS = 900_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def civil_day(zone: ZoneInfo) -> DayOf:
    """The function from a moment (milliseconds since 1970 UTC) to its civil day in ``zone``.

    Days count from 1970-01-01. Offsets change at quarters of an hour only, so one look-up serves a
    quarter.
    """

    @lru_cache(maxsize=65_536)
    def of_quarter(quarter: int) -> int:
        moment = _EPOCH + timedelta(milliseconds=quarter * _QUARTER_MS)
        offset = moment.astimezone(zone).utcoffset() or timedelta()
        return (quarter * _QUARTER_MS + offset // timedelta(milliseconds=1)) // _DAY_MS

    return lambda moment_ms: of_quarter(moment_ms // _QUARTER_MS)
