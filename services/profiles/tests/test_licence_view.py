"""A licence as of a day."""

import pytest
from market_supervision.lifecycle.v1.state_pb2 import LicenceState
from market_supervision.profiles.v1.entity_profile_pb2 import LicenceStatus

from services.contracts.licence_standing import NO_END_DAY
from services.profiles.licence_view import licence

TODAY = 20_000


def _state(terms: list[tuple[int, int]], ended_day: int = 0, ended_kind: str = "") -> LicenceState:
    state = LicenceState(matter_id="x/1", ended_day=ended_day, ended_kind=ended_kind)
    if ended_kind:
        state.ends.add(kind=ended_kind, ended_day=ended_day)
    for from_day, to_day in terms:
        state.terms.add(from_day=from_day, to_day=to_day)
    return state


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (_state([]), "UNSPECIFIED"),
        (_state([(TODAY, TODAY)]), "VALID"),
        (_state([(TODAY - 9, TODAY - 1)]), "EXPIRED"),
        (_state([(TODAY + 1, TODAY + 9)]), "NOT_YET_VALID"),
        (_state([(TODAY - 9, TODAY - 1), (TODAY, TODAY + 9)]), "VALID"),
        (_state([(TODAY - 9, NO_END_DAY)]), "VALID"),
        (_state([(TODAY - 9, TODAY + 9)], TODAY, "revoked"), "REVOKED"),
        (_state([(TODAY - 9, TODAY + 9)], TODAY + 1, "revoked"), "VALID"),
        (_state([(TODAY - 9, TODAY + 9)], TODAY - 1, "cancelled"), "CANCELLED"),
        (_state([(TODAY - 9, TODAY + 9)], TODAY - 1, "expired"), "EXPIRED"),
        (_state([(TODAY - 9, TODAY), (TODAY - 1, TODAY + 9)], TODAY - 1, "expired"), "VALID"),
        (_state([], TODAY - 1, "revoked"), "REVOKED"),
    ],
)
def test_status_of_a_licence_is_as_of_the_day(state: LicenceState, status: str) -> None:
    """Both ends of a term are inclusive; an early end counts from its day on."""
    wanted = LicenceStatus.Value(f"LICENCE_STATUS_{status}")

    assert licence(state, TODAY).status == wanted


def test_term_shown_is_the_one_in_force() -> None:
    """While a later term waits, the reader is told of the one that runs."""
    made = licence(_state([(0, TODAY), (TODAY + 1, TODAY + 400)]), TODAY)

    assert (made.valid_from_date.year, made.valid_from_date.month) == (1970, 1)
    assert (made.valid_to_date.year, made.valid_to_date.month, made.valid_to_date.day) == (
        2024, 10, 4,
    )  # fmt: skip


def test_licence_without_term_has_no_last_day() -> None:
    """A licence for an unlimited time shows none."""
    made = licence(_state([(0, NO_END_DAY)]), TODAY)

    assert made.HasField("valid_from_date")
    assert not made.HasField("valid_to_date")


def test_revoked_licence_keeps_its_term_and_names_the_day_it_ended() -> None:
    """What was granted stays visible beside what became of it."""
    made = licence(_state([(0, TODAY + 9)], 1, "revoked"), TODAY)

    assert made.HasField("valid_to_date")
    assert (made.ended_date.year, made.ended_date.month, made.ended_date.day) == (1970, 1, 2)
