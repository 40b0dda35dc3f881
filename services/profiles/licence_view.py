"""A licence as of a day. Pure.

The stream judges a licence by the same rules for its alerts.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from google.type.date_pb2 import Date
from market_supervision.lifecycle.v1.state_pb2 import LicenceState, LicenceTerm
from market_supervision.profiles.v1.entity_profile_pb2 import Licence, LicenceStatus

WITHOUT_TERM_DAY = 2_147_483_647
"""Last day of a licence that does not run out (长期有效)."""

_EPOCH = date(1970, 1, 1)
_ENDED = {
    "revoked": LicenceStatus.LICENCE_STATUS_REVOKED,
    "cancelled": LicenceStatus.LICENCE_STATUS_CANCELLED,
    "expired": LicenceStatus.LICENCE_STATUS_EXPIRED,
}


def licence(state: LicenceState, today: int) -> Licence:
    """Return the licence as of a day (days since 1970-01-01): its standing and its term.

    The term shown is the one in force, else the one that runs longest.
    """
    made = Licence(
        matter_id=state.matter_id,
        licence_type=state.licence_type,
        licence_number=state.licence_number,
    )
    terms = _standing_terms(state, today)
    made.status = _status(state, terms, today)
    term = _shown(terms or state.terms, today)
    if term is not None:
        made.valid_from_date.CopyFrom(_date(term.from_day))
        if term.to_day < WITHOUT_TERM_DAY:
            made.valid_to_date.CopyFrom(_date(term.to_day))
    if state.ended_day:
        made.ended_date.CopyFrom(_date(state.ended_day))
    return made


def _standing_terms(state: LicenceState, today: int) -> Sequence[LicenceTerm]:
    """Return the terms that an early end left standing.

    A sanction ends them all; a source that closes an expired licence closes the term that ran, not
    one that begins afterwards.
    """
    if not 0 < state.ended_day <= today:
        return state.terms
    if state.ended_kind == "expired":
        return [term for term in state.terms if term.from_day >= state.ended_day]
    return []


def _status(
    state: LicenceState, terms: Sequence[LicenceTerm], today: int
) -> LicenceStatus.ValueType:
    if any(term.from_day <= today <= term.to_day for term in terms):
        return LicenceStatus.LICENCE_STATUS_VALID
    if 0 < state.ended_day <= today and all(term.from_day > today for term in terms):
        return _ENDED[state.ended_kind]
    if not terms:
        return LicenceStatus.LICENCE_STATUS_UNSPECIFIED
    if all(term.from_day > today for term in terms):
        return LicenceStatus.LICENCE_STATUS_NOT_YET_VALID
    return LicenceStatus.LICENCE_STATUS_EXPIRED


def _shown(terms: Sequence[LicenceTerm], today: int) -> LicenceTerm | None:
    return max(
        terms,
        key=lambda term: (term.from_day <= today <= term.to_day, term.to_day, term.from_day),
        default=None,
    )


def _date(day: int) -> Date:
    civil = _EPOCH + timedelta(days=day)
    return Date(year=civil.year, month=civil.month, day=civil.day)
