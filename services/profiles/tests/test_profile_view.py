"""The profile made from the state."""

from datetime import date

import pytest
from market_supervision.alerts.v1.alert_pb2 import Severity
from market_supervision.common.v1.envelope_pb2 import CodedValue
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.lifecycle.v1.state_pb2 import EntityState
from market_supervision.profiles.v1 import entity_profile_pb2 as wire
from market_supervision.profiles.v1.entity_profile_service_pb2 import EntityProfileView

from services.contracts.labels import Label
from services.profiles.profile_view import _ATTRIBUTES, profile

KEY = "uscc:91442000XX00000010"
TODAY = date(2026, 6, 1)
FULL_ONLY = {"closed_matters", "inspections", "penalties", "totals"}


def _labels(coded: CodedValue, _on: date) -> Label | None:
    known = {("GB/T 2260", "442000"): Label("中山市", "Zhongshan")}
    return known.get((coded.code_system, coded.code))


def _profile(
    state: EntityState, view: EntityProfileView.ValueType | None = None
) -> wire.EntityProfile:
    return profile(
        state,
        root_key=KEY,
        linked_keys=["regno:2", "regno:1"],
        view=EntityProfileView.ENTITY_PROFILE_VIEW_FULL if view is None else view,
        today=TODAY,
        code_labels=_labels,
    )


def _claim(
    attribute: state_pb2.AttributeKind.ValueType, value: str, time_ms: int
) -> state_pb2.AttributeClaim:
    return state_pb2.AttributeClaim(
        attribute=attribute, value=value, event_time_ms=time_ms, event_id=f"event-{value}"
    )


def _full_state() -> EntityState:
    state = EntityState(entity_key=KEY, first_event_time_ms=1_000, last_event_time_ms=9_000)
    for attribute in sorted(_ATTRIBUTES):
        state.claims.append(_claim(attribute, f"{attribute}", 1_000))
    state.registration_facts.add(kind="entity_established", event_time_ms=1_000, event_id="e")
    state.registration_facts.add(kind="business_suspended", event_time_ms=2_000, event_id="s")
    state.listings.add(matter_id="l/1", reason="address", listed_time_ms=1, removed_time_ms=2)
    state.listings.add(matter_id="l/2", reason="report", listed_time_ms=3)
    licence = state.licences.add(matter_id="x/1", licence_type="t 1", licence_number="n")
    licence.terms.add(from_day=1, to_day=100_000)
    for number in range(12):
        state.matters.add(
            matter_id=f"m/{number}",
            kind="complaint",
            open=number >= 2,
            opened_time_ms=number,
            last_time_ms=number,
            due_day=1 if number == 11 else 0,
        )
    state.inspections.add(matter_id="i/1", event_time_ms=1, result="fail", findings=2)
    state.inspections.add(matter_id="i/2", event_time_ms=2)
    state.penalties.add(matter_id="p/1", violation_code="v 1", kinds=["fine"], fine_amount_fen=5)
    state.totals.add(counter=state_pb2.COUNTER_PENALTIES, sum=4)
    state.totals.add(counter=state_pb2.COUNTER_OPEN_MATTERS, code="complaint", sum=10)
    state.totals.add(counter=state_pb2.COUNTER_OPEN_ALERTS, sum=20)
    state.open_alerts.add(alert_id="a", rule_id="r", severity=Severity.SEVERITY_RED)
    return state


def test_profile_fills_every_field_of_the_contract() -> None:
    """A field added to the wire must be filled from the state, or the test names it."""
    state = _full_state()
    state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_DIVISION, "GB/T 2260 442000", 2_000))
    made = _profile(state)

    empty = [f.name for f in made.DESCRIPTOR.fields if not _is_filled(made, f.name)]
    empty_registration = [
        f.name
        for f in made.registration.DESCRIPTOR.fields
        if not _is_filled(made.registration, f.name)
    ]
    # One state makes one profile; those of other keys are put beside it by who found them.
    assert empty == ["unmerged_profiles"]
    assert empty_registration == []


def _is_filled(message: wire.EntityProfile | wire.RegistrationSection, field: str) -> bool:
    return any(descriptor.name == field for descriptor, _ in message.ListFields())


def test_profile_knows_every_attribute_of_the_state() -> None:
    """Only the link is not an attribute of the profile: it makes the linked keys."""
    unknown = set(state_pb2.AttributeKind.keys()) - {
        state_pb2.AttributeKind.Name(attribute) for attribute in _ATTRIBUTES
    }

    assert unknown == {"ATTRIBUTE_KIND_UNSPECIFIED", "ATTRIBUTE_KIND_LINKED_TO"}


def test_basic_view_leaves_out_what_is_for_the_full_one() -> None:
    """BASIC answers who it is and what is open; history comes with FULL."""
    full = {f.name for f, _ in _profile(_full_state()).ListFields()}
    for view in (
        EntityProfileView.ENTITY_PROFILE_VIEW_BASIC,
        EntityProfileView.ENTITY_PROFILE_VIEW_UNSPECIFIED,
    ):
        basic = {f.name for f, _ in _profile(_full_state(), view).ListFields()}

        assert full - basic - {"code_labels"} == FULL_ONLY


def test_lists_are_newest_first_and_bounded() -> None:
    """The state keeps the latest last; a reader wants it first."""
    made = _profile(_full_state())

    assert [m.matter_id for m in made.open_matters] == [f"m/{n}" for n in range(11, 3, -1)]
    assert [m.matter_id for m in made.closed_matters] == ["m/1", "m/0"]
    assert [item.matter_id for item in made.listings] == ["l/2", "l/1"]
    assert not made.listings[0].HasField("removed_time")
    assert [item.matter_id for item in made.inspections] == ["i/2", "i/1"]
    assert made.inspections[0].result == ""
    assert [fact.kind for fact in made.registration.facts] == [
        "business_suspended",
        "entity_established",
    ]
    assert made.linked_keys == ["regno:1", "regno:2"]
    assert (made.open_matters[0].due_date.year, made.open_matters[0].due_date.day) == (1970, 2)


def test_attribute_that_holds_is_the_last_claim() -> None:
    """The state sorts claims so that the last one of an attribute holds."""
    state = EntityState()
    state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_NAME, "old", 1))
    state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_NAME, "new", 2))
    name = _profile(state).registration.name

    assert (name.value, name.event_id, name.since_time.ToMilliseconds()) == ("new", "event-new", 2)


def test_latest_annual_report_is_the_latest_year_not_the_latest_filed() -> None:
    """A report of an old year filed late does not take back a newer one."""
    state = EntityState()
    for time_ms, year in enumerate(["2024", "2025", "2019"]):
        state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_ANNUAL_REPORT_YEAR, year, time_ms))

    assert _profile(state).registration.latest_annual_report_year.value == "2025"


def test_totals_and_alerts_are_named_for_people() -> None:
    """Names of counters and severities are those of the contract, in small letters."""
    made = _profile(_full_state())

    assert {total.name: total.value for total in made.totals} == {
        "open_alerts": 20,
        "open_matters:complaint": 10,
        "penalties": 4,
    }
    assert made.open_alerts[0].severity == "red"
    assert made.open_alert_count == 20


def test_code_labels_name_the_codes_that_have_a_table() -> None:
    """A code of a foreign register has no label, and needs none."""
    state = EntityState()
    state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_DIVISION, "GB/T 2260 442000", 1))
    state.claims.append(_claim(state_pb2.ATTRIBUTE_KIND_INDUSTRY, "chicago-risk 1", 1))
    (label,) = _profile(state).code_labels

    assert (label.code.code_system, label.code.code) == ("GB/T 2260", "442000")
    assert (label.label.zh, label.label.en) == ("中山市", "Zhongshan")


def test_profile_of_an_entity_never_registered_has_no_standing() -> None:
    """An entity may be inspected and never be registered."""
    made = _profile(EntityState(entity_key=KEY))

    assert made.registration.status == wire.REGISTRATION_STATUS_UNSPECIFIED
    assert not made.registration.HasField("status_since_time")
    assert not made.HasField("first_event_time")


@pytest.mark.parametrize("fact", ["entity_established", "business_suspended"])
def test_status_names_the_fact_it_rests_on(fact: str) -> None:
    """An officer must be able to look the reason up."""
    state = EntityState()
    state.registration_facts.add(kind=fact, event_time_ms=7_000, event_id="why")
    registration = _profile(state).registration

    assert registration.status_event_id == "why"
    assert registration.status_since_time.ToMilliseconds() == 7_000
