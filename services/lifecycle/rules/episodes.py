"""Episodes: what one alert thread is about (事件段). Pure.

An episode is a calendar bucket, a matter, or a licence's term; never the moment at which something
arrived, so that a replay finds the same ones.
"""

from collections.abc import Iterator

from services.lifecycle.features.days import date_of
from services.lifecycle.features.moment import Moment
from services.lifecycle.rules.rows import RuleRow

CALENDAR_EPISODES = ("month", "year")
DATED_EPISODES = "matter_and_date:"
_ENDED = "matter_and_date:licence_end_day"


def matter_episode(matter_id: str) -> str:
    """Return the key of the one episode of a matter."""
    return f"matter:{matter_id}"


def episode_key(row: RuleRow, moment: Moment) -> str | None:
    """Return the episode a moment falls into.

    None where there is none: an episode named by a licence's last day, and a licence without one,
    or by the day it ended, and one that has not.
    """
    match row.episode:
        case "month" | "year":
            return next(iter(calendar_episodes(row, moment.matter_id, moment.day, moment.day)))
        case "matter":
            return matter_episode(moment.matter_id or "")
    standing = moment.standing
    last_day = standing.last_day
    if last_day is None or (row.episode == _ENDED and standing.days_since_end < 0):
        return None
    return f"matter:{moment.matter_id}:{date_of(last_day).isoformat()}"


def calendar_episodes(
    row: RuleRow, matter_id: str | None, first_day: int, last_day: int
) -> Iterator[str]:
    """Yield the calendar episodes that the days from first to last fall into; none for others.

    A rule that looks at matters has one thread for each of them in a bucket.
    """
    if row.episode not in CALENDAR_EPISODES:
        return
    suffix = "" if matter_id is None else f":{matter_id}"
    first, last = date_of(first_day), date_of(last_day)
    if row.episode == "year":
        for year in range(first.year, last.year + 1):
            yield f"year:{year:04d}{suffix}"
        return
    month, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    while month <= end:
        yield f"month:{month // 12:04d}-{month % 12 + 1:02d}{suffix}"
        month += 1
