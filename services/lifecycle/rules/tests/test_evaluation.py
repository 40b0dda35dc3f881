"""How rules are judged, whatever they say."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.alerting import alert_event_id, alert_id
from services.lifecycle.features.catalogue import FEATURES, compute, value_of
from services.lifecycle.features.days import day_of
from services.lifecycle.rules.evaluation import HELD_DAYS_MAX, evaluate
from services.lifecycle.rules.testing import bundle_of, configured_bundle, row
from services.lifecycle.testing import MadeFact, MadeView, changed, made_licence

TODAY = date(2026, 3, 10)
RAISED = alert_pb2.ALERT_TRANSITION_RAISED
CLOSED = alert_pb2.ALERT_TRANSITION_CLOSED
REOPENED = alert_pb2.ALERT_TRANSITION_REOPENED


def complaint(day: date, number: int = 0) -> MadeFact:
    """A complaint of a day."""
    return MadeFact("complaints.complaint_received", day_of(day), f"c/{day}-{number}")


def test_replay_gives_the_same_records() -> None:
    """The same events give the same record ids, byte for byte."""

    def run() -> list[bytes]:
        view, records = MadeView(TODAY), []
        bundle = configured_bundle()
        for number in range(6):
            fact = complaint(TODAY - timedelta(days=number), number)
            view.facts.append(fact)
            records += view.apply(evaluate(bundle, view, changed(fact)))
        records += view.apply(evaluate(bundle, view, view.take_back(view.facts[0])))
        records += view.apply(evaluate(bundle, view, view.take_back(view.facts[0])))
        return [record.SerializeToString(deterministic=True) for record in records]

    assert len(run()) == 2
    assert run() == run()


def test_identity_is_fixed_for_ever() -> None:
    """Ids that once stood in a subscriber's books never change."""
    assert alert_id("R01", "uscc:1", "month:2026-03") == "4a474e011690920addf80dc745a32e8e"
    assert alert_id("R01", "uscc:1", "month:2026-03") != alert_id("R01u", "scc:1", "month:2026-03")
    cause = alert_pb2.Cause(event_id="e")
    assert alert_event_id("a", RAISED, 1, cause) != alert_event_id("a", RAISED, 2, cause)
    due = alert_pb2.Cause(due_key="e")
    assert alert_event_id("a", RAISED, 1, cause) != alert_event_id("a", RAISED, 1, due)


def test_withdrawn_fact_closes_and_its_return_reopens() -> None:
    """A withdrawal closes the thread; the fact stated again opens the same one."""
    bundle, view = configured_bundle(), MadeView(TODAY)
    facts = [complaint(TODAY - timedelta(days=n), n) for n in range(5)]
    records = []
    for fact in facts:
        view.facts.append(fact)
        records += view.apply(evaluate(bundle, view, changed(fact)))
    records += view.apply(evaluate(bundle, view, view.take_back(facts[2])))
    view.facts.append(facts[2])
    records += view.apply(evaluate(bundle, view, changed(facts[2], "again ")))

    assert [record.transition for record in records] == [RAISED, CLOSED, REOPENED]
    assert [record.alert.revision for record in records] == [1, 2, 3]
    assert len({record.alert.alert_id for record in records}) == 1
    assert len({record.alert_event_id for record in records}) == 3
    assert records[1].alert.outcome == alert_pb2.ALERT_OUTCOME_WITHDRAWN
    assert records[1].alert.reason == records[0].alert.reason
    assert records[2].alert.outcome == alert_pb2.ALERT_OUTCOME_UNSPECIFIED


def test_late_fact_judges_the_days_after_it_again() -> None:
    """A complaint that arrives late completes the burst of a later day."""
    bundle, view = configured_bundle(), MadeView(TODAY)
    late = complaint(TODAY - timedelta(days=6), 9)
    for number in range(4):
        fact = complaint(TODAY - timedelta(days=number), number)
        view.facts.append(fact)
        assert not evaluate(bundle, view, changed(fact))
    view.facts.append(late)
    (record,) = view.apply(evaluate(bundle, view, changed(late)))
    assert date(2026, 3, 10) == TODAY
    assert (record.alert.fact_date.month, record.alert.fact_date.day) == (3, 10)


def test_passing_of_time_alone_raises_nothing() -> None:
    """On the first of a month the burst of the month before is not raised again."""
    bundle, view = configured_bundle(), MadeView(date(2026, 4, 1))
    records = []
    for number in range(6):
        fact = complaint(date(2026, 3, 31), number)
        view.facts.append(fact)
        records += view.apply(evaluate(bundle, view, changed(fact)))
    assert [record.alert.episode_key for record in records] == ["month:2026-03"]


def test_facts_older_than_max_age_raise_nothing_and_are_counted() -> None:
    """An import wakes nobody, and says how often it did not."""
    bundle, view, suppressed = configured_bundle(), MadeView(TODAY), Counter[str]()
    for number in range(8):
        fact = complaint(TODAY - timedelta(days=31), number)
        view.facts.append(fact)
        assert not evaluate(bundle, view, changed(fact), suppressed)
    assert list(suppressed.values()) == [8]


def test_open_alert_is_cleared_however_old_its_days() -> None:
    """A withdrawal clears what it raised even when the fact is past the rule's max age by now."""
    bundle, view = configured_bundle(), MadeView(TODAY)
    for number in range(5):
        fact = complaint(TODAY, number)
        view.facts.append(fact)
        view.apply(evaluate(bundle, view, changed(fact)))
    view.now = TODAY + timedelta(days=400)
    (record,) = view.apply(evaluate(bundle, view, view.take_back(view.facts[0])))
    assert record.alert.outcome == alert_pb2.ALERT_OUTCOME_WITHDRAWN


def test_clearing_reaches_alerts_beyond_those_the_entity_lists() -> None:
    """With more open alerts than the entity's state lists, the right one is still found."""
    bundle, view = bundle_of(row(max_age_days=3_650)), MadeView(TODAY)
    facts = [complaint(TODAY - timedelta(days=31 * number)) for number in range(20)]
    for fact in facts:
        view.facts.append(fact)
        view.apply(evaluate(bundle, view, changed(fact)))
    assert len(view.open_episodes()) == 20
    # Sorted by episode, the newest month is not among the 16 listed.
    view.apply(evaluate(bundle, view, view.take_back(facts[0])))
    assert ("R90-made-up", "month:2026-03") not in view.open_episodes()
    assert len(view.open_episodes()) == 19


def test_thread_with_more_days_than_it_remembers_is_not_cleared_too_early() -> None:
    """When all remembered days cease to hold, the ones before them are asked again."""
    made = row(episode="year", max_age_days=3_650, condition="features.complaints_1d >= 1")
    bundle, view = bundle_of(made), MadeView(date(2026, 12, 30))
    facts = [
        complaint(date(2026, 9, 1) + timedelta(days=number)) for number in range(HELD_DAYS_MAX + 2)
    ]
    for fact in facts:
        view.facts.append(fact)
        view.apply(evaluate(bundle, view, changed(fact)))
    records = []
    for fact in facts[2:]:
        records += view.apply(evaluate(bundle, view, view.take_back(fact)))
    assert not records
    for fact in facts[:2]:
        records += view.apply(evaluate(bundle, view, view.take_back(fact)))
    assert [record.transition for record in records] == [CLOSED]


def test_state_is_left_unchanged() -> None:
    """Rules read the state; they never write it."""
    bundle = configured_bundle(max_age_days=36_500)
    licence = made_licence("r/1", (date(2024, 1, 1), date(2026, 3, 20), date(2024, 1, 1)))

    class Frozen(MadeView):
        held: state_pb2.EntityState | None = None

        @property
        def entity(self) -> state_pb2.EntityState:
            if self.held is None:
                self.held = super().entity
            return self.held

    facts = [complaint(TODAY, number) for number in range(6)]
    view = Frozen(TODAY, facts, [licence])
    before = view.entity.SerializeToString(deterministic=True)
    assert evaluate(bundle, view, changed(facts[0]))
    granted = MadeFact("registration.licence_granted", day_of(date(2024, 1, 1)), "r/1")
    assert evaluate(bundle, view, changed(granted, standing=True))
    assert view.entity.SerializeToString(deterministic=True) == before


def test_closed_thread_given_by_the_view_is_left_unchanged() -> None:
    """The thread of the view is the one before; the change holds a new one."""
    bundle, view = configured_bundle(), MadeView(TODAY)
    for number in range(5):
        fact = complaint(TODAY, number)
        view.facts.append(fact)
        view.apply(evaluate(bundle, view, changed(fact)))
    (thread,) = view.threads.values()
    before = thread.SerializeToString(deterministic=True)
    (change,) = evaluate(bundle, view, view.take_back(view.facts[0]))
    assert thread.SerializeToString(deterministic=True) == before
    assert change.thread.alert.state == alert_pb2.ALERT_STATE_CLOSED


@pytest.mark.parametrize(
    ("state", "raises"), [("draft", 0), ("shadow", 0), ("retired", 0), ("active", 1)]
)
def test_only_an_active_rule_raises(state: str, raises: int) -> None:
    """Drafts, shadows and retired rules raise nothing."""
    view = MadeView(TODAY, [complaint(TODAY)])
    assert len(evaluate(bundle_of(row(state=state)), view, changed(view.facts[0]))) == raises


def test_retired_rule_still_clears() -> None:
    """An alert is not left standing on a withdrawn fact because its rule was retired."""
    view = MadeView(TODAY, [complaint(TODAY)])
    view.apply(evaluate(bundle_of(row()), view, changed(view.facts[0])))
    retired = bundle_of(row(state="retired", version=2), version=2)
    (record,) = view.apply(evaluate(retired, view, view.take_back(view.facts[0])))
    assert record.transition == CLOSED


def test_rule_raises_only_for_days_on_which_it_is_valid() -> None:
    """A rule in force from today does not judge yesterday."""
    made = row(valid_from=TODAY, valid_to=TODAY, condition="features.complaints_1d >= 1")
    view = MadeView(TODAY, [complaint(TODAY - timedelta(days=1)), complaint(TODAY)])
    assert not evaluate(
        bundle_of(made | {"valid_from": TODAY + timedelta(days=1), "valid_to": None}),
        view,
        changed(view.facts[0]),
    )
    (change,) = evaluate(bundle_of(made), view, changed(view.facts[0]))
    assert list(change.thread.held_days) == [day_of(TODAY)]


def test_new_version_continues_the_open_thread() -> None:
    """A new version of a rule raises nothing where the old one's alert is open."""
    view = MadeView(TODAY, [complaint(TODAY)])
    view.apply(evaluate(bundle_of(row()), view, changed(view.facts[0])))
    view.facts.append(complaint(TODAY, 1))
    second = bundle_of(row(version=2, condition="features.complaints_30d >= 1"), version=2)
    assert not view.apply(evaluate(second, view, changed(view.facts[1])))


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_rule_over_any_feature_fires_without_code_change(name: str) -> None:
    """A rule written here over any feature raises an alert where the feature has its value."""
    holder = name.rpartition(".")[0]
    scope = {"": "ENTITY", "matter": "MATTER", "licence": "LICENCE"}[holder]
    trigger = (
        "registration.licence_granted"
        if holder == "licence"
        else "inspections.inspection_completed"
    )
    matter_id = "r/1" if holder == "licence" else "i/1"
    licence = made_licence("r/1", (date(2024, 1, 1), date(2026, 3, 1), date(2024, 1, 1)))
    fact = MadeFact(trigger, day_of(TODAY), matter_id, result="fail", place_type="catering")
    view = MadeView(
        TODAY,
        [
            fact,
            complaint(TODAY),
            MadeFact("penalties.penalty_decided", day_of(TODAY), "p/1", code="A"),
        ],
        [licence],
    )
    value = value_of(compute([name], view, day_of(TODAY), matter_id), name)
    literal = {bool: str(value).lower(), str: f'"{value}"'}.get(type(value), str(value))
    given: dict[str, Any] = {name: value}
    wrong = {bool: not value, str: "another"}.get(type(value), 987_654)
    other: dict[str, Any] = {name: wrong}
    if holder:
        field = name.rpartition(".")[2]
        given, other = {holder: {field: value}}, {holder: {field: wrong}}
    made = row(
        scope=scope,
        triggers=[trigger],
        condition=f"features.{name} == {literal}",
        window_days=731,
        episode="month",
        reason={"zh": f"指标为{{{name}}}", "en": f"Value {{{name}}}"},
        evidence=[{"event": trigger}],
        examples=[
            {"name": "as it is", "given": given, "expect": True},
            {"name": "another", "given": other, "expect": False},
        ],
    )
    (record,) = view.apply(evaluate(bundle_of(made), view, changed(fact)))
    assert record.transition == RAISED
    assert [feature.name for feature in record.alert.features] == [name]
