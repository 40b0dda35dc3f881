"""The walk over registration facts."""

import itertools

import pytest
from market_supervision.lifecycle.v1.state_pb2 import StatusFact
from market_supervision.profiles.v1.entity_profile_pb2 import RegistrationStatus
from market_supervision.registration.v1.registration_events_pb2 import RegistrationEvent

from services.contracts.registration_status import KINDS, standing


def _facts(*kinds: str) -> list[StatusFact]:
    return [
        StatusFact(kind=kind, event_time_ms=1000 * n, slot_key=f"s/{n}", event_id=f"event-{n}")
        for n, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("kinds", "status", "resting_on"),
    [
        ("entity_established", "ACTIVE", 0),
        ("entity_established business_suspended", "SUSPENDED", 1),
        ("entity_established business_suspended business_resumed", "ACTIVE", 2),
        ("entity_established business_resumed", "ACTIVE", 0),
        (
            "entity_established simple_deregistration_notice_published",
            "SIMPLE_DEREGISTRATION_NOTICE",
            1,
        ),
        (
            (
                "entity_established simple_deregistration_notice_published"
                " simple_deregistration_objected"
            ),
            "ACTIVE",
            2,
        ),
        (
            (
                "entity_established simple_deregistration_notice_published"
                " simple_deregistration_notice_withdrawn"
            ),
            "ACTIVE",
            2,
        ),
        ("entity_established business_licence_revoked", "LICENCE_REVOKED", 1),
        ("entity_established business_licence_revoked business_resumed", "LICENCE_REVOKED", 1),
        ("entity_established business_licence_revoked entity_deregistered", "DEREGISTERED", 2),
        ("entity_established entity_deregistered business_suspended", "DEREGISTERED", 1),
        ("business_suspended", "SUSPENDED", 0),
    ],
)
def test_standing_of_a_course_of_facts_is_the_one_the_law_gives(
    kinds: str, status: str, resting_on: int
) -> None:
    """Each fact leads on only from standings it can leave; deregistration is final."""
    found = standing(_facts(*kinds.split()))

    assert found.status == RegistrationStatus.Value(f"REGISTRATION_STATUS_{status}")
    assert found.fact is not None
    assert found.fact.event_id == f"event-{resting_on}"


def test_standing_of_shuffled_facts_is_the_same() -> None:
    """The order of arrival does not count."""
    facts = _facts("entity_established", "business_suspended", "business_resumed")
    statuses = {standing(order).status for order in itertools.permutations(facts)}

    assert statuses == {RegistrationStatus.REGISTRATION_STATUS_ACTIVE}


def test_standing_without_facts_is_unspecified() -> None:
    """An entity never registered has no standing, and no fact behind it."""
    found = standing([])

    assert (found.status, found.fact) == (0, None)


def test_kinds_are_event_types_of_the_contract() -> None:
    """Every kind the walk knows is an arm of the registration event."""
    arms = {field.name for field in RegistrationEvent.DESCRIPTOR.oneofs_by_name["body"].fields}

    assert arms >= KINDS
