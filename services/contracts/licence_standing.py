"""What a licence was worth on a civil day, from its terms as they were known then. Pure.

Shared: the stream's features and the profile must never disagree about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from market_supervision.lifecycle.v1 import state_pb2

NO_END_DAY = 2_147_483_647
"""Last day of a licence without term: no day of any calendar."""
WITHOUT_TERM_DAYS = 1_000_000
"""`days_until_expiry` of a licence that never runs out, or of which no term is known."""


@dataclass(frozen=True, slots=True)
class LicenceStanding:
    """A licence (许可证) at the end of a day."""

    status: str
    """`valid`, `expired`, `revoked`, `cancelled`, `not_yet_valid` or `unknown`."""
    last_day: int | None
    """Last day of validity; None: without term, or no term known."""
    days_until_expiry: int
    days_since_end: int


UNKNOWN = LicenceStanding("unknown", None, WITHOUT_TERM_DAYS, -1)


def standing_of(licence: state_pb2.LicenceState, day: int) -> LicenceStanding:
    """Return the standing at the end of ``day``, from facts not later than that day."""
    terms = [term for term in licence.terms if term.fact_day <= day]
    early_end = licence.ended_kind if 0 < licence.ended_day <= day else ""
    if early_end in ("revoked", "cancelled"):
        return _ended(early_end, licence.ended_day, day)
    if early_end == "expired":
        # What the source closed is the term that ran then, not one that begins afterwards.
        later = [term for term in terms if term.from_day >= licence.ended_day]
        if not later or all(term.from_day > day for term in later):
            return _ended("expired", licence.ended_day - 1, day)
        terms = later
    return _within_terms(terms, day)


def _within_terms(terms: list[state_pb2.LicenceTerm], day: int) -> LicenceStanding:
    begun = [term for term in terms if term.from_day <= day]
    if not begun:
        if not terms:
            return UNKNOWN
        last_day = _chain_end(terms, min(term.to_day for term in terms))
        return LicenceStanding("not_yet_valid", _known(last_day), _until(last_day, day), -1)
    last_day = max(term.to_day for term in begun)
    if last_day < day:
        return _ended("expired", last_day, day)
    last_day = _chain_end(terms, last_day)
    return LicenceStanding("valid", _known(last_day), _until(last_day, day), -1)


def _chain_end(terms: Iterable[state_pb2.LicenceTerm], last_day: int) -> int:
    """Follow terms that begin before, or the day after, the last one ends."""
    for term in sorted(terms, key=lambda term: (term.from_day, term.to_day)):
        if last_day < term.to_day and term.from_day <= last_day + 1:
            last_day = term.to_day
    return last_day


def _known(last_day: int) -> int | None:
    return None if last_day == NO_END_DAY else last_day


def _until(last_day: int, day: int) -> int:
    return WITHOUT_TERM_DAYS if last_day == NO_END_DAY else last_day - day


def _ended(status: str, last_day: int, day: int) -> LicenceStanding:
    return LicenceStanding(status, last_day, last_day - day, day - last_day)


def is_replaced(
    licences: Iterable[state_pb2.LicenceState], licence: state_pb2.LicenceState, day: int
) -> bool:
    """Return whether another licence of the same type is valid on ``day``."""
    return any(
        other.licence_type == licence.licence_type
        and other.matter_id != licence.matter_id
        and standing_of(other, day).status == "valid"
        for other in licences
    )
