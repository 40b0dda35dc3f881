"""What a licence was worth on a day."""

from datetime import date

import pytest

from services.contracts.licence_standing import (
    NO_END_DAY,
    WITHOUT_TERM_DAYS,
    is_latest_of_type,
    is_replaced,
    standing_of,
)
from services.lifecycle.features.days import day_of
from services.lifecycle.testing import ended, made_licence

GRANTED = (date(2023, 4, 1), date(2026, 3, 31), date(2023, 3, 28))
RENEWED = (date(2026, 4, 1), date(2031, 3, 31), date(2026, 3, 10))


@pytest.mark.parametrize(
    ("on", "status", "until", "since_end"),
    [
        (date(2023, 3, 27), "unknown", WITHOUT_TERM_DAYS, -1),
        (date(2023, 3, 28), "not_yet_valid", 1_099, -1),
        (date(2026, 3, 1), "valid", 30, -1),
        (date(2026, 3, 9), "valid", 22, -1),
        (date(2026, 3, 10), "valid", 1_847, -1),
        (date(2031, 3, 31), "valid", 0, -1),
        (date(2031, 4, 1), "expired", -1, 1),
    ],
)
def test_renewal_counts_from_the_day_it_is_known(
    on: date, status: str, until: int, since_end: int
) -> None:
    """As of a day before the renewal was stated the licence still ends with its first term."""
    standing = standing_of(made_licence("r/1", GRANTED, RENEWED), day_of(on))
    assert (standing.status, standing.days_until_expiry, standing.days_since_end) == (
        status,
        until,
        since_end,
    )


def test_gap_between_terms_is_expired() -> None:
    """A term that begins later leaves the licence expired in between."""
    late = (date(2026, 5, 1), date(2031, 4, 30), date(2026, 3, 10))
    licence = made_licence("r/1", GRANTED, late)
    assert standing_of(licence, day_of(date(2026, 3, 20))).days_until_expiry == 11
    assert standing_of(licence, day_of(date(2026, 4, 15))).status == "expired"
    assert standing_of(licence, day_of(date(2026, 4, 15))).days_since_end == 15
    assert standing_of(licence, day_of(date(2026, 5, 1))).status == "valid"


def test_revocation_ends_with_its_own_day() -> None:
    """On the day of revocation nothing has passed since the end; the day after, one day."""
    licence = made_licence("r/1", GRANTED)
    licence.ends.append(ended("revoked", date(2025, 6, 10), date(2025, 6, 10)))
    assert standing_of(licence, day_of(date(2025, 6, 9))).status == "valid"
    assert standing_of(licence, day_of(date(2025, 6, 10))).days_since_end == 0
    assert standing_of(licence, day_of(date(2025, 6, 11))).days_since_end == 1
    assert standing_of(licence, day_of(date(2025, 6, 11))).status == "revoked"


def test_statement_of_expiry_agrees_with_the_term() -> None:
    """Stated or not, the day after the last day is the first day since the end."""
    silent, stated = made_licence("r/1", GRANTED), made_licence("r/1", GRANTED)
    # The fold keeps the first day on which a licence that ran out is no longer valid.
    stated.ends.append(ended("expired", date(2026, 4, 1), date(2026, 4, 1)))
    for on in (date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 9)):
        assert standing_of(silent, day_of(on)) == standing_of(stated, day_of(on))


def test_statement_of_expiry_leaves_the_next_term_alone() -> None:
    """The register closes the old term; the renewal that begins the day after stands."""
    licence = made_licence("r/1", GRANTED, RENEWED)
    licence.ends.append(ended("expired", date(2026, 4, 1), date(2026, 4, 5)))
    assert standing_of(licence, day_of(date(2026, 4, 1))).status == "valid"


def test_licence_without_term_never_expires() -> None:
    """Without a last day there is no date to count to."""
    licence = made_licence("r/1", GRANTED)
    licence.terms[0].to_day = licence.to_day = NO_END_DAY
    standing = standing_of(licence, day_of(date(2099, 1, 1)))
    assert (standing.status, standing.last_day) == ("valid", None)
    assert standing.days_until_expiry == WITHOUT_TERM_DAYS


def test_only_a_valid_licence_of_the_same_type_replaces() -> None:
    """Another type, an expired one, or the licence itself replace nothing."""
    ended = made_licence("r/1", GRANTED)
    same = made_licence("r/2", (date(2026, 4, 1), date(2029, 3, 31), date(2026, 4, 1)))
    other = made_licence(
        "r/3", (date(2026, 4, 1), date(2029, 3, 31), date(2026, 4, 1)), licence_type="drug"
    )
    on = day_of(date(2026, 4, 15))
    assert is_replaced([ended, same], ended, on)
    assert not is_replaced([ended, other], ended, on)
    assert not is_replaced([ended, same], ended, day_of(date(2030, 1, 1)))


@pytest.mark.parametrize(
    ("first", "last", "latest"),
    [
        (date(2025, 1, 1), date(2026, 3, 30), True),
        (date(2025, 1, 1), date(2026, 4, 1), False),
        (date(2026, 4, 1), date(2029, 3, 31), False),
        (date(2026, 4, 2), date(2029, 3, 31), True),
    ],
    ids=["ends-before", "ends-after", "follows-at-once", "leaves-a-gap"],
)
def test_latest_of_its_type_is_the_one_nothing_outlasts(
    first: date, last: date, *, latest: bool
) -> None:
    """What lasts longer, or follows without a gap, is later; what leaves a gap is not, yet."""
    own = made_licence("r/1", GRANTED)
    other = made_licence("r/2", (first, last, date(2025, 1, 1)))
    assert is_latest_of_type([own, other], own, day_of(date(2026, 3, 10))) is latest
