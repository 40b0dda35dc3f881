"""The rows of deploy/config/rules, judged on hand-made views."""

import random
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_supervision.alerts.v1 import alert_pb2

from services.lifecycle.alerting import alert_id
from services.lifecycle.features.catalogue import compute
from services.lifecycle.features.days import date_of, day_of
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.evaluation import evaluate
from services.lifecycle.rules.testing import configured_bundle
from services.lifecycle.testing import MadeFact, MadeView, changed, ended, made_licence
from services.lifecycle.view import Change

MARCH_10 = date(2026, 3, 10)


@pytest.fixture(scope="module")
def bundle() -> CompiledBundle:
    """The rules as they stand in the configuration."""
    return configured_bundle()


def complaint(day: date, number: int = 1) -> MadeFact:
    """A complaint of a day."""
    return MadeFact("complaints.complaint_received", day_of(day), f"c12315/{day}-{number}")


def fed(bundle: CompiledBundle, view: MadeView, *facts: MadeFact) -> list[alert_pb2.AlertRecord]:
    """Feed facts one by one, as the stream does."""
    records = []
    for fact in facts:
        view.facts.append(fact)
        records += view.apply(evaluate(bundle, view, changed(fact)))
    return records


def test_complaint_burst_at_the_fifth_complaint_raises_once(bundle: CompiledBundle) -> None:
    """The fifth complaint in seven days raises one alert for the month; the sixth adds nothing."""
    view = MadeView(MARCH_10)
    facts = [complaint(date(2026, 3, day), n) for n, day in enumerate((4, 6, 8, 9, 10, 10))]
    assert not fed(bundle, view, *facts[:4])
    (record,) = fed(bundle, view, facts[4])
    assert record.transition == alert_pb2.ALERT_TRANSITION_RAISED
    alert = record.alert
    assert alert.episode_key == "month:2026-03"
    assert alert.alert_id == alert_id("R01-complaint-burst", view.entity_key, "month:2026-03")
    assert "收到投诉5件" in alert.reason.zh
    assert "received 5 complaints in the 7 days to 10 March 2026" in alert.reason.en
    assert [e.event_id for e in alert.evidence] == sorted(
        (f.event_id for f in facts[:5]), key=lambda e: e.rpartition("@")[2], reverse=True
    )
    assert not fed(bundle, view, facts[5])


FACTS = st.lists(
    st.tuples(
        st.integers(0, 420),
        st.sampled_from(["complaints.complaint_received", "penalties.penalty_decided"]),
        st.sampled_from(["A", "B"]),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(FACTS, st.randoms(use_true_random=False), st.integers(0, 20))
def test_open_alerts_follow_from_the_facts_not_from_their_order(
    drawn: list[tuple[int, str, str]], shuffler: random.Random, taken_back: int
) -> None:
    """What stays open is what the rules say of the facts that stand, day by day."""
    bundle = configured_bundle(max_age_days=36_500)
    facts = [
        MadeFact(event_type, day_of(MARCH_10) - back, f"m/{index}", code=code)
        for index, (back, event_type, code) in enumerate(drawn)
    ]
    shuffler.shuffle(facts)
    view = MadeView(MARCH_10)
    for fact in facts:
        view.facts.append(fact)
        view.apply(evaluate(bundle, view, changed(fact)))
    for fact in facts[:taken_back]:
        view.apply(evaluate(bundle, view, view.take_back(fact)))

    expected = set()
    for fact in facts[taken_back:]:
        names = [
            "complaints_7d",
            "complaints_weekly_mean_prior_90d",
            "penalties_same_violation_365d",
        ]
        features = compute(names, view, fact.day)
        on = date_of(fact.day)
        if fact.event_type.startswith("complaints"):
            line = max(5, 3 * features.complaints_weekly_mean_prior_90d)
            if features.complaints_7d >= line:
                expected.add(("R01-complaint-burst", f"month:{on:%Y-%m}"))
        elif features.penalties_same_violation_365d >= 2:
            expected.add(("R04-repeat-violator", f"year:{on:%Y}"))
    assert view.open_episodes() == expected


def inspection(day: date, result: str, place_type: str = "school_canteen") -> MadeFact:
    """An inspection of a day."""
    on = day_of(day)
    return MadeFact(
        "inspections.inspection_completed", on, f"i/{day}", result=result, place_type=place_type
    )


def test_school_canteen_failure_is_red_and_says_where(bundle: CompiledBundle) -> None:
    """A failed school canteen is red, to be acknowledged the next working day."""
    (record,) = fed(bundle, MadeView(MARCH_10), inspection(MARCH_10, "fail"))
    assert record.alert.severity == alert_pb2.SEVERITY_RED
    assert record.alert.episode_key == "matter:i/2026-03-10"
    assert "（学校食堂）" in record.alert.reason.zh
    assert "(school canteen)" in record.alert.reason.en
    assert [item.event_type for item in record.alert.evidence] == [
        "market_supervision.inspections.v1.inspection_completed"
    ]
    due = record.alert.acknowledge_due_date
    assert (due.year, due.month, due.day) == (2026, 3, 11)


@pytest.mark.parametrize(
    ("result", "place_type"),
    [("conditional", "school_canteen"), ("pass", "school_canteen"), ("fail", "catering")],
)
def test_other_results_and_places_do_not_alarm(
    bundle: CompiledBundle, result: str, place_type: str
) -> None:
    """Only a fail, and only where children eat."""
    assert not fed(bundle, MadeView(MARCH_10), inspection(MARCH_10, result, place_type))


def test_corrected_result_withdraws_the_alarm(bundle: CompiledBundle) -> None:
    """When the source corrects a fail into a pass, the alert is closed as withdrawn."""
    view = MadeView(MARCH_10)
    fed(bundle, view, inspection(MARCH_10, "fail"))
    view.facts.clear()
    (record,) = fed(bundle, view, inspection(MARCH_10, "pass"))
    assert record.alert.outcome == alert_pb2.ALERT_OUTCOME_WITHDRAWN


LAST = date(2026, 3, 31)
GRANT = (date(2023, 4, 1), LAST, date(2023, 3, 28))


def licence_event(arm: str, day: date, matter_id: str = "r/1") -> MadeFact:
    """A fact of a licence; what it says stands in the view's licence."""
    return MadeFact(f"registration.{arm}", day_of(day), matter_id)


def judged(bundle: CompiledBundle, view: MadeView, fact: MadeFact) -> list[alert_pb2.AlertRecord]:
    """Let the rules see a licence fact whose effect the view already shows."""
    view.facts.append(fact)
    return view.apply(evaluate(bundle, view, changed(fact, standing=True)))


def fired(
    bundle: CompiledBundle, view: MadeView, matter_id: str = "r/1"
) -> list[alert_pb2.AlertRecord]:
    """Let the date thirty days before a licence's last day pass."""
    due = Change(
        cause=alert_pb2.Cause(due_key=f"uscc|{matter_id}|licence_to_day|{view.now_day}"),
        event_type="due.licence_to_day",
        matter_id=matter_id,
        days=(view.now_day,),
        withdrawn=False,
        standing=True,
    )
    return view.apply(evaluate(bundle, view, due))


def expiring(bundle: CompiledBundle) -> MadeView:
    """A view with an open alert for a licence that expires on 31 March."""
    view = MadeView(date(2026, 3, 1), licences=[made_licence("r/1", GRANT)])
    (record,) = fired(bundle, view)
    assert record.alert.episode_key == "matter:r/1:2026-03-31"
    assert record.cause.due_key
    assert "将于2026年3月31日到期" in record.alert.reason.zh
    assert "runs out on 31 March 2026, 30 days after 1 March 2026" in record.alert.reason.en
    return view


def test_licence_is_announced_thirty_days_before_its_last_day(bundle: CompiledBundle) -> None:
    """Neither a day earlier, nor twice."""
    early = MadeView(date(2026, 2, 28), licences=[made_licence("r/1", GRANT)])
    assert not fired(bundle, early)
    assert not fired(bundle, expiring(bundle))


def test_renewal_resolves_and_the_next_term_is_another_episode(bundle: CompiledBundle) -> None:
    """A renewal closes the warning; thirty days before the new last day there is a new one."""
    view = expiring(bundle)
    view.now = date(2026, 3, 12)
    renewal = (date(2026, 4, 1), date(2031, 3, 31), date(2026, 3, 12))
    view.licences = [made_licence("r/1", GRANT, renewal)]
    (record,) = judged(bundle, view, licence_event("licence_renewed", view.now))
    assert record.alert.outcome == alert_pb2.ALERT_OUTCOME_RESOLVED
    view.now = date(2031, 3, 1)
    (record,) = fired(bundle, view)
    assert record.alert.episode_key == "matter:r/1:2031-03-31"


def test_late_renewal_withdraws_what_should_not_have_been_raised(bundle: CompiledBundle) -> None:
    """A renewal stated before the warning but received after it takes the ground from it."""
    view = expiring(bundle)
    view.now = date(2026, 3, 12)
    renewal = (date(2026, 4, 1), date(2031, 3, 31), date(2026, 2, 20))
    view.licences = [made_licence("r/1", GRANT, renewal)]
    (record,) = judged(bundle, view, licence_event("licence_renewed", date(2026, 2, 20)))
    assert record.alert.outcome == alert_pb2.ALERT_OUTCOME_WITHDRAWN


@pytest.mark.parametrize("kind", ["revoked", "cancelled"])
def test_early_end_resolves_the_warning(bundle: CompiledBundle, kind: str) -> None:
    """Nobody has to renew a licence that was revoked or given up."""
    view = expiring(bundle)
    view.now = date(2026, 3, 12)
    view.licences[0].ends.append(ended(kind, view.now, view.now))
    (record,) = judged(bundle, view, licence_event(f"licence_{kind}", view.now))
    assert record.alert.outcome == alert_pb2.ALERT_OUTCOME_RESOLVED


def test_lapse_leaves_the_warning_open(bundle: CompiledBundle) -> None:
    """A licence that ran out is no reason to forget that nobody renewed it."""
    view = expiring(bundle)
    view.now = date(2026, 4, 1)
    view.licences[0].ends.append(ended("expired", view.now, view.now))
    assert not judged(bundle, view, licence_event("licence_expired", view.now))


def test_imported_licences_wake_only_what_still_matters(bundle: CompiledBundle) -> None:
    """Of an old register, licences in their last month are announced; lapsed ones are not."""
    view = MadeView(MARCH_10, licences=[made_licence("r/1", GRANT)])
    (record,) = judged(bundle, view, licence_event("licence_granted", date(2023, 3, 28)))
    assert record.alert.episode_key == "matter:r/1:2026-03-31"
    lapsed = (date(2020, 1, 1), date(2025, 12, 31), date(2020, 1, 1))
    view = MadeView(MARCH_10, licences=[made_licence("r/2", lapsed)])
    assert not judged(bundle, view, licence_event("licence_granted", date(2020, 1, 1), "r/2"))


def test_inspection_after_the_licence_ended_raises_for_that_licence(bundle: CompiledBundle) -> None:
    """Seen in business the day after the last day: one alert for the licence, however often."""
    view = MadeView(date(2026, 4, 2), licences=[made_licence("r/1", GRANT)])
    (record,) = fed(bundle, view, inspection(date(2026, 4, 1), "pass", "catering"))
    assert (record.alert.episode_key, record.alert.matter_id) == (
        "matter:r/1:2026-03-31",
        "r/1",
    )
    assert "已到期，失效1天后" in record.alert.reason.zh
    assert not fed(bundle, view, inspection(date(2026, 4, 2), "pass", "catering"))


def test_business_on_the_last_day_or_under_another_licence_is_lawful(
    bundle: CompiledBundle,
) -> None:
    """The last day is still covered, and so is a day under a licence of the same type."""
    view = MadeView(date(2026, 4, 2), licences=[made_licence("r/1", GRANT)])
    assert not fed(bundle, view, inspection(LAST, "pass", "catering"))
    other = made_licence("r/2", (date(2026, 4, 1), date(2029, 3, 31), date(2026, 4, 1)))
    view = MadeView(date(2026, 4, 2), licences=[made_licence("r/1", GRANT), other])
    assert not fed(bundle, view, inspection(date(2026, 4, 1), "pass", "catering"))


def test_late_licence_event_judges_the_visits_after_it(bundle: CompiledBundle) -> None:
    """A revocation that arrives after the visit raises what the visit alone could not."""
    view = MadeView(date(2026, 3, 20), licences=[made_licence("r/1", GRANT)])
    assert not fed(bundle, view, inspection(date(2026, 3, 15), "pass", "catering"))
    view.licences[0].ends.append(ended("revoked", date(2026, 3, 2), date(2026, 3, 2)))
    records = judged(bundle, view, licence_event("licence_revoked", date(2026, 3, 2)))
    assert [record.alert.rule.rule_id for record in records] == [
        "R09-operating-without-valid-licence"
    ]
    assert "revoked; 13 days later" in records[0].alert.reason.en


def test_replacement_that_arrives_late_withdraws(bundle: CompiledBundle) -> None:
    """A licence of the same type, granted before the visit, takes the ground from the alert."""
    view = MadeView(date(2026, 4, 2), licences=[made_licence("r/1", GRANT)])
    fed(bundle, view, inspection(date(2026, 4, 1), "pass", "catering"))
    view.licences.append(
        made_licence("r/2", (date(2026, 3, 25), date(2029, 3, 24), date(2026, 3, 25)))
    )
    records = judged(bundle, view, licence_event("licence_granted", date(2026, 3, 25), "r/2"))
    outcomes = {record.alert.rule.rule_id[:3]: record.alert.outcome for record in records}
    assert outcomes["R09"] == alert_pb2.ALERT_OUTCOME_WITHDRAWN


def test_repeat_violation_cites_the_penalties_of_that_code(bundle: CompiledBundle) -> None:
    """Two penalties for one code within 365 days; those for other codes are not cited."""

    def penalty(day: date, code: str) -> MadeFact:
        return MadeFact("penalties.penalty_decided", day_of(day), f"p/{day}", code=code)

    view = MadeView(MARCH_10)
    facts = [penalty(date(2025, 9, 1), "v FALSE"), penalty(date(2026, 1, 5), "v OTHER")]
    assert not fed(bundle, view, *facts)
    (record,) = fed(bundle, view, penalty(MARCH_10, "v FALSE"))
    assert record.alert.episode_key == "year:2026"
    assert [item.matter_id for item in record.alert.evidence] == ["p/2026-03-10", "p/2025-09-01"]
    assert "（代码FALSE）被处罚2次" in record.alert.reason.zh
    assert not fed(
        bundle, MadeView(MARCH_10), penalty(date(2025, 3, 10), "v A"), penalty(MARCH_10, "v A")
    )
