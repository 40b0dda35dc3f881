"""The standing of an entity's registration, walked from its registration facts.

Pure and shared: the stream's features and the profile must never disagree about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from market_supervision.lifecycle.v1.state_pb2 import StatusFact
from market_supervision.profiles.v1.entity_profile_pb2 import RegistrationStatus

_UNKNOWN = RegistrationStatus.REGISTRATION_STATUS_UNSPECIFIED
_ACTIVE = RegistrationStatus.REGISTRATION_STATUS_ACTIVE
_SUSPENDED = RegistrationStatus.REGISTRATION_STATUS_SUSPENDED
_NOTICE = RegistrationStatus.REGISTRATION_STATUS_SIMPLE_DEREGISTRATION_NOTICE
_REVOKED = RegistrationStatus.REGISTRATION_STATUS_LICENCE_REVOKED
_DEREGISTERED = RegistrationStatus.REGISTRATION_STATUS_DEREGISTERED

_IN_BUSINESS = frozenset({_UNKNOWN, _ACTIVE, _SUSPENDED, _NOTICE})

# Event type → (standings it can leave, standing it leads to). A fact that arrives in any other
# standing changes nothing: nothing follows a deregistration, and a revoked business licence
# (吊销) is left only by deregistration.
_TRANSITIONS = {
    "entity_established": (frozenset({_UNKNOWN}), _ACTIVE),
    "business_suspended": (_IN_BUSINESS, _SUSPENDED),
    "business_resumed": (frozenset({_UNKNOWN, _SUSPENDED}), _ACTIVE),
    "simple_deregistration_notice_published": (_IN_BUSINESS, _NOTICE),
    "simple_deregistration_objected": (frozenset({_UNKNOWN, _NOTICE}), _ACTIVE),
    "simple_deregistration_notice_withdrawn": (frozenset({_UNKNOWN, _NOTICE}), _ACTIVE),
    "business_licence_revoked": (_IN_BUSINESS, _REVOKED),
    "entity_deregistered": (_IN_BUSINESS | {_REVOKED}, _DEREGISTERED),
}

KINDS: frozenset[str] = frozenset(_TRANSITIONS)
"""Event types of the registration family that bear on the standing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A registration status and the fact it rests on; no fact while nothing is known."""

    status: RegistrationStatus.ValueType
    fact: StatusFact | None


def standing(facts: Iterable[StatusFact]) -> Standing:
    """Return the standing (登记状态) after all ``facts``, whatever their order.

    They are walked by event time, ties by slot key. For the standing as of an earlier day pass
    only the facts up to that day. Kinds that do not bear on the standing are ignored.
    """
    status = _UNKNOWN
    resting_on: StatusFact | None = None
    for fact in sorted(facts, key=lambda f: (f.event_time_ms, f.slot_key)):
        transition = _TRANSITIONS.get(fact.kind)
        if transition is None or status not in transition[0]:
            continue
        status, resting_on = transition[1], fact
    return Standing(status, resting_on)
