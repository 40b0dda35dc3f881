"""What a licence was worth on a civil day, from its terms as they were known then. Pure.

Shared: the stream's features and the profile must never disagree about it.
"""

from collections.abc import Iterable, Iterator
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
    end = _end_of(licence, terms, day)
    if end is None:
        return _within_terms(terms, day)
    if end.kind != "expired":
        return _ended(end.kind, end.ended_day, day)
    # What the source closed is the term that ran then, not one that begins afterwards.
    later = [term for term in terms if term.from_day >= end.ended_day]
    if not later or all(term.from_day > day for term in later):
        return _ended("expired", end.ended_day - 1, day)
    return _within_terms(later, day)


def _end_of(
    licence: state_pb2.LicenceState, terms: list[state_pb2.LicenceTerm], day: int
) -> state_pb2.LicenceEnd | None:
    """The last end stated by the day that a term stated after it has not made history."""
    stated = max((term.fact_day for term in terms), default=0)
    ends = [end for end in licence.ends if end.ended_day <= day and stated <= end.fact_day <= day]
    return ends[-1] if ends else None


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
        standing_of(other, day).status == "valid" for other in _others_of_type(licences, licence)
    )


def is_latest_of_type(
    licences: Iterable[state_pb2.LicenceState], licence: state_pb2.LicenceState, day: int
) -> bool:
    """Return whether no other licence of the same type lasts longer, as known on ``day``.

    Of those that have not begun, only one that leaves no gap after this one counts; of two that end
    on one day the one with the greater matter id is the latest.
    """
    own_last = _last_day(standing_of(licence, day))
    for other in _others_of_type(licences, licence):
        standing = standing_of(other, day)
        if standing.status == "unknown":
            continue
        if standing.status == "not_yet_valid":
            begins = min(term.from_day for term in other.terms if term.fact_day <= day)
            if begins - 1 > own_last:
                continue
        if (_last_day(standing), other.matter_id) > (own_last, licence.matter_id):
            return False
    return True


def _last_day(standing: LicenceStanding) -> int:
    return NO_END_DAY if standing.last_day is None else standing.last_day


def _others_of_type(
    licences: Iterable[state_pb2.LicenceState], licence: state_pb2.LicenceState
) -> Iterator[state_pb2.LicenceState]:
    for other in licences:
        if other.licence_type == licence.licence_type and other.matter_id != licence.matter_id:
            yield other
