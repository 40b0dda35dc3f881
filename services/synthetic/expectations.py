"""What the city's causes must and must not lead to (应有预警)."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

COMPLAINT_BURST = "complaint-burst"
REPEAT_VIOLATOR = "repeat-violator"
CANTEEN_FAILURE = "school-canteen-failure"
UNLICENSED_TRADING = "operating-without-valid-licence"
LICENCE_EXPIRING = "licence-expiring"


class AlertEnd(StrEnum):
    """Where a warning stands when everything has been told (预警最终状态)."""

    OPEN = "open"
    """Raised, and nothing took its ground away."""
    CLOSED = "closed"
    """Raised when its facts were told, closed when they were withdrawn or corrected later."""
    NOT_OPEN = "not-open"
    """Not open. It may have been raised on the way, where time passed the date it warns of before
    the fact that settles it was told; a bulk load may or may not see that moment."""


@dataclass(frozen=True, slots=True, order=True)
class ExpectedAlert:
    """One warning thread that follows from the plan of causes (应有预警)."""

    rule: str
    """What is warned of, in the plan's words, such as `complaint-burst`."""
    entity_key: str
    """Canonical key, `scheme:value`."""
    episode_key: str
    """`month:2026-03`, `year:2026`, `matter:<id>` or `matter:<id>:<last day or day of its end>`."""
    end: AlertEnd
    fact_day: date
    """First civil day as of whose end the warning holds."""
    cause: str
    """Why, in one English sentence."""


@dataclass(frozen=True, slots=True, order=True)
class NearMiss:
    """A case that comes close to a rule and must not meet it (临界而不触发)."""

    rule: str
    entity_key: str
    cause: str


def month_episode(day: date) -> str:
    """Return the episode of a calendar month."""
    return f"month:{day:%Y-%m}"


def year_episode(day: date) -> str:
    """Return the episode of a calendar year."""
    return f"year:{day.year}"


def matter_episode(matter_id: str) -> str:
    """Return the episode of a matter."""
    return f"matter:{matter_id}"


def term_episode(matter_id: str, last_day: date) -> str:
    """Return the episode of one term of a licence, or of its end on a day."""
    return f"matter:{matter_id}:{last_day.isoformat()}"
