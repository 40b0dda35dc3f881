"""A licence as the profile shows it. Pure."""

from datetime import date, timedelta

from google.type.date_pb2 import Date
from market_supervision.lifecycle.v1.state_pb2 import LicenceState, LicenceTerm
from market_supervision.profiles.v1.entity_profile_pb2 import Licence, LicenceStatus

from services.contracts.licence_standing import NO_END_DAY, standing_of

_EPOCH = date(1970, 1, 1)
_STATUSES = {
    "valid": LicenceStatus.LICENCE_STATUS_VALID,
    "expired": LicenceStatus.LICENCE_STATUS_EXPIRED,
    "revoked": LicenceStatus.LICENCE_STATUS_REVOKED,
    "cancelled": LicenceStatus.LICENCE_STATUS_CANCELLED,
    "not_yet_valid": LicenceStatus.LICENCE_STATUS_NOT_YET_VALID,
    "unknown": LicenceStatus.LICENCE_STATUS_UNSPECIFIED,
}


def licence(state: LicenceState, today: int) -> Licence:
    """Return the licence as of a day (days since 1970-01-01): its standing and its term.

    The term shown is the one in force, else the one that runs longest.
    """
    made = Licence(
        matter_id=state.matter_id,
        licence_type=state.licence_type,
        licence_number=state.licence_number,
        status=_STATUSES[standing_of(state, today).status],
    )
    term = _shown(state, today)
    if term is not None:
        made.valid_from_date.CopyFrom(_date(term.from_day))
        if term.to_day < NO_END_DAY:
            made.valid_to_date.CopyFrom(_date(term.to_day))
    if state.ended_day:
        made.ended_date.CopyFrom(_date(state.ended_day))
    return made


def _shown(state: LicenceState, today: int) -> LicenceTerm | None:
    return max(
        state.terms,
        key=lambda term: (term.from_day <= today <= term.to_day, term.to_day, term.from_day),
        default=None,
    )


def _date(day: int) -> Date:
    civil = _EPOCH + timedelta(days=day)
    return Date(year=civil.year, month=civil.month, day=civil.day)
