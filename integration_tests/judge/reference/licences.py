"""Licences: their terms and ends, and what they were worth on a day. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from market_supervision.lifecycle.v1.state_pb2 import LicenceEnd, LicenceState, LicenceTerm

from integration_tests.judge.reference.facts import Fact, coded, day_of

NO_END = 2_147_483_647
NEVER = 1_000_000
TERMS_SHOWN, ENDS_SHOWN = 8, 8
_TERM_ARMS = frozenset({"licence_granted", "licence_renewed"})
_END_KINDS = {
    "licence_expired": "expired",
    "licence_revoked": "revoked",
    "licence_cancelled": "cancelled",
}


def licence_of(facts: Sequence[Fact]) -> LicenceState | None:
    """Return the licence that a matter is."""
    told = [fact for fact in facts if fact.arm in _TERM_ARMS or fact.arm in _END_KINDS]
    if not told:
        return None
    types = [coded(fact.body.licence.licence_type) for fact in told]
    numbers = [fact.body.licence.licence_number for fact in told]
    licence = LicenceState(
        matter_id=told[0].event.matter_id,
        licence_type=next((text for text in reversed(types) if text), ""),
        licence_number=next((text for text in reversed(numbers) if text), ""),
    )
    terms = [_term(fact) for fact in told if fact.arm in _TERM_ARMS]
    kept = sorted(terms, key=lambda t: (t.to_day, t.from_day, t.fact_day))[-TERMS_SHOWN:]
    licence.terms.extend(sorted(kept, key=lambda t: (t.from_day, t.to_day, t.fact_day)))
    licence.to_day = max((term.to_day for term in kept), default=0)
    last_term = max((n for n, f in enumerate(told) if f.arm in _TERM_ARMS), default=-1)
    for number, fact in enumerate(told):
        if fact.arm not in _END_KINDS:
            continue
        # A term stated later on the same day takes the end's place.
        later = [f for f in told[number + 1 :] if f.arm in _TERM_ARMS and f.day == fact.day]
        if not later:
            licence.ends.append(_end(fact))
        if number > last_term:
            licence.ended_day, licence.ended_kind = _ended_day(fact), _END_KINDS[fact.arm]
    del licence.ends[:-ENDS_SHOWN]
    return licence


def _term(fact: Fact) -> LicenceTerm:
    body = fact.body
    has_from, has_until = body.HasField("valid_from_date"), body.HasField("valid_until_date")
    return LicenceTerm(
        from_day=day_of(body.valid_from_date) if has_from else fact.day,
        to_day=day_of(body.valid_until_date) if has_until else NO_END,
        fact_day=fact.day,
    )


def _ended_day(fact: Fact) -> int:
    if fact.arm != "licence_expired":
        return fact.day
    has_last = fact.body.HasField("last_valid_date")
    return (day_of(fact.body.last_valid_date) if has_last else fact.day) + 1


def _end(fact: Fact) -> LicenceEnd:
    return LicenceEnd(kind=_END_KINDS[fact.arm], ended_day=_ended_day(fact), fact_day=fact.day)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a licence was worth at the end of a day."""

    status: str = "unknown"
    last_day: int = NO_END
    """Last day of validity; NO_END where there is none or none is known."""
    days_until_expiry: int = NEVER
    days_since_end: int = -1


def worth_on(licence: LicenceState | None, day: int) -> Worth:
    """Return what a licence was worth, from what had been stated by then."""
    if licence is None:
        return Worth()
    terms = [term for term in licence.terms if term.fact_day <= day]
    last_stated = max((term.fact_day for term in terms), default=0)
    ends = [e for e in licence.ends if last_stated <= e.fact_day <= day and e.ended_day <= day]
    if ends and ends[-1].kind != "expired":
        return _over(ends[-1].kind, ends[-1].ended_day, day)
    if ends:
        # The source closed the term that ran then, not one that begins afterwards.
        closed = ends[-1].ended_day
        terms = [term for term in terms if term.from_day >= closed]
        if all(term.from_day > day for term in terms):
            return _over("expired", closed - 1, day)
    if not terms:
        return Worth()
    begun = [term.to_day for term in terms if term.from_day <= day]
    if begun and max(begun) < day:
        return _over("expired", max(begun), day)
    last = _through(terms, max(begun) if begun else min(term.to_day for term in terms))
    until = NEVER if last == NO_END else last - day
    return Worth("valid" if begun else "not_yet_valid", last, until)


def _over(status: str, last: int, day: int) -> Worth:
    return Worth(status, last, last - day, day - last)


def _through(terms: Sequence[LicenceTerm], last: int) -> int:
    """Return the last day of the terms that follow on one another without a gap."""
    while True:
        further = [t.to_day for t in terms if t.from_day <= last + 1 and t.to_day > last]
        if not further or last == NO_END:
            return last
        last = max(further)


def is_replaced(licences: Sequence[LicenceState], licence: LicenceState, day: int) -> bool:
    """Return whether another licence of its type is valid on a day."""
    return any(worth_on(other, day).status == "valid" for other in _like(licences, licence))


def is_latest(licences: Sequence[LicenceState], licence: LicenceState, day: int) -> bool:
    """Return whether no other licence of its type lasts longer, without a gap, as known then."""
    own = worth_on(licence, day).last_day
    for other in _like(licences, licence):
        worth = worth_on(other, day)
        begins = min((t.from_day for t in other.terms if t.fact_day <= day), default=0)
        if worth.status == "unknown" or (worth.status == "not_yet_valid" and begins - 1 > own):
            continue
        if (worth.last_day, other.matter_id) > (own, licence.matter_id):
            return False
    return True


def _like(licences: Sequence[LicenceState], licence: LicenceState) -> list[LicenceState]:
    return [
        other
        for other in licences
        if other.licence_type == licence.licence_type and other.matter_id != licence.matter_id
    ]
