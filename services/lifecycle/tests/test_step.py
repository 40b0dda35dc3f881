"""The step as a whole: alerts from rules that are data, dates that pass, dead letters, counts."""

from datetime import UTC, datetime

import pytest
import yaml
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.common.v1 import envelope_pb2
from market_supervision.control.v1.control_pb2 import (
    BundleFile,
    ControlRecord,
    RuleBundle,
    Tick,
)
from market_supervision.inspections.v1 import inspections_events_pb2 as inspections
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.bundles import build_bundle, read_files
from services.contracts.families import FamilyEvent
from services.lifecycle import working_set
from services.lifecycle.bundle_history import HISTORY_KEY
from services.lifecycle.dead_letter import place_of
from services.lifecycle.digest import digest_records
from services.lifecycle.record_identity import record_identity
from services.lifecycle.rules.testing import row, rule_file
from services.lifecycle.step import FIRING_TICK, IDLE_TICK
from services.lifecycle.tests.fold_rig import example, prepared
from services.lifecycle.tests.step_rig import TOPICS, StepRig, moment_of

ENTITY = "uscc:91442000XX0000019R"


def _complaint(number: int, day: int, version: int = 1) -> FamilyEvent:
    base = example("complaints", "complaint_received")
    return prepared(base, record=f"c{number}", matter=f"test/c{number}", day=day, version=version)


def _canteen(result: inspections.InspectionResult.ValueType) -> FamilyEvent:
    event = example("inspections", "inspection_completed")
    assert isinstance(event, inspections.InspectionEvent)
    event.inspection_completed.result = result
    event.inspection_completed.place_type = inspections.PLACE_TYPE_SCHOOL_CANTEEN
    return prepared(event, record="i1", matter="test/i1", day=10)


def _licence(last: tuple[int, int, int], *, version: int = 1) -> FamilyEvent:
    event = example("registration", "licence_granted")
    body = event.licence_granted  # type: ignore[union-attr]
    body.valid_until_date.year, body.valid_until_date.month, body.valid_until_date.day = last
    body.ClearField("valid_from_date")
    return prepared(event, record="l1", matter="test/l1", day=-300, version=version)


def test_burst_of_complaints_raises_one_alert_with_its_evidence() -> None:
    """The fifth complaint of a week raises one alert; the sixth does not raise another."""
    rig = StepRig()
    for number in range(6):
        rig.feed(_complaint(number, day=10), day=10)
    (record,) = rig.alerts
    assert record.transition == alert_pb2.ALERT_TRANSITION_RAISED
    assert record.alert.rule.rule_id.startswith("R01")
    assert record.alert.episode_key == "month:2026-01"
    assert len(record.alert.evidence) == 5
    assert record.alert.reason.zh
    assert record.alert.reason.en


def test_withdrawn_fact_clears_the_alert_it_raised() -> None:
    """When the facts fall below the line again, the alert is closed as withdrawn."""
    rig = StepRig()
    for number in range(5):
        rig.feed(_complaint(number, day=10), day=10)
    withdrawn = prepared(
        example("complaints", "complaint_received"),
        record="c4",
        matter="test/c4",
        day=10,
        version=2,
        disposition=envelope_pb2.DISPOSITION_WITHDRAWN,
    )
    rig.feed(withdrawn, day=11)
    closed = rig.alerts[-1]
    assert closed.transition == alert_pb2.ALERT_TRANSITION_CLOSED
    assert closed.alert.outcome == alert_pb2.ALERT_OUTCOME_WITHDRAWN
    assert not rig.open_threads()


def test_units_may_be_cut_anywhere_without_changing_alert_ids() -> None:
    """The same records in one unit or in many give the same alert records and the same state."""
    events = [_complaint(number, day=number % 12) for number in range(40)]
    whole, cut = StepRig(), StepRig()
    whole.feed(*events, day=12)
    for event in events:
        cut.feed(event, day=12)
    assert [r.alert_event_id for r in whole.alerts] == [r.alert_event_id for r in cut.alerts]
    assert whole.alerts
    digests = [digest_records(rig.store.committed.items()) for rig in (whole, cut)]
    assert digests[0] == digests[1]


def test_digest_does_not_depend_on_the_day_on_which_the_log_was_written() -> None:
    """The same facts appended a week later give equal digests, though alerts are raised later."""
    soon, late = StepRig(), StepRig()
    for rig, day in ((soon, 10), (late, 17)):
        rig.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=day)
        assert len(rig.alerts) == 1
    assert soon.alerts[0] != late.alerts[0]
    digests = [digest_records(rig.store.committed.items()) for rig in (soon, late)]
    assert digests[0] == digests[1]


def test_canteen_failure_alerts_and_a_conditional_pass_does_not() -> None:
    """A failed school canteen is warned of at once, one passed with conditions is not."""
    failed, conditional = StepRig(), StepRig()
    failed.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=10)
    conditional.feed(_canteen(inspections.INSPECTION_RESULT_CONDITIONAL), day=10)
    assert [record.alert.severity for record in failed.alerts] == [alert_pb2.SEVERITY_RED]
    assert not conditional.alerts


def test_old_facts_wake_nobody() -> None:
    """Facts older than a rule's max age raise nothing: an import is silent."""
    rig = StepRig()
    rig.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=400)
    assert not rig.alerts
    counts = state_pb2.SuppressedCounts.FromString(rig.store.committed[b"!suppressed"])
    assert any(row.rule_id.startswith("R08") and row.changes == 1 for row in counts.rules)


def test_licence_expiry_is_warned_of_by_a_tick_and_resolved_by_renewal() -> None:
    """Thirty days before its last day, with no event at all, a licence raises an alert."""
    rig = StepRig()
    rig.feed(_licence((2026, 3, 31)), day=0)
    for day in range(1, 59):
        rig.tick(day)
    assert not rig.alerts
    rig.tick(59)  # 2026-03-01
    (record,) = rig.alerts
    assert record.alert.episode_key == "matter:test/l1:2026-03-31"
    assert record.cause.due_key
    renewed = example("registration", "licence_renewed")
    body = renewed.licence_renewed  # type: ignore[union-attr]
    body.valid_until_date.year, body.valid_until_date.month, body.valid_until_date.day = 2031, 3, 31
    body.ClearField("valid_from_date")
    rig.feed(prepared(renewed, record="l2", matter="test/l1", day=61), day=61)
    assert rig.alerts[-1].alert.outcome == alert_pb2.ALERT_OUTCOME_RESOLVED


def test_many_dates_on_one_day_are_acted_on_in_bounded_units() -> None:
    """A tick with more dates than fit a unit goes on in the next, and misses none."""
    rig = StepRig()
    base = _licence((2026, 3, 31))
    count = 1_203
    rig.feed(
        *(
            prepared(base, record=f"l{n}", matter=f"test/l{n}", entity=f"E{n}", day=-300)
            for n in range(count)
        ),
        day=0,
    )
    rig.tick(60)
    assert len({record.alert.entity_key for record in rig.alerts}) == count
    assert len(rig.alerts) == count


def test_bad_records_become_dead_letters_and_everything_is_counted() -> None:
    """What cannot be folded goes to the dead-letter topic as it came; the rest is folded."""
    rig = StepRig()
    good = _complaint(1, day=1)
    poison = rig.record("t.complaints", b"k", b"\xff\xff\xff", 1)
    rig.run(rig.event_record(good, 1), poison, rig.event_record(good, 1))
    (letter,) = rig.on(TOPICS.dead_letter)
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"k", b"\xff\xff\xff")
    assert headers["dlq-reason"] == b"NOT_AN_EVENT"
    assert headers["dlq-offset"] == b"0"
    counts = state_pb2.RecordCounts.FromString(rig.store.committed[b"!counts|t.complaints"])
    assert (counts.applied, counts.duplicates, counts.dead_lettered) == (1, 1, 1)


def test_link_is_published_for_intakes_and_readers() -> None:
    """A linked key is announced on the links topic, and taken back when the fact is withdrawn."""
    rig = StepRig()
    event = prepared(example("registration", "entity_linked"), record="k1", day=1)
    rig.feed(event, day=1)
    link = state_pb2.LinkRecord.FromString(rig.on(TOPICS.links)[-1].value)
    target = event.entity_linked.to  # type: ignore[union-attr]
    assert (link.from_key, link.to_key) == (ENTITY, f"{target.scheme}:{target.value}")
    withdrawn = prepared(
        example("registration", "entity_linked"),
        record="k1",
        day=1,
        version=2,
        disposition=envelope_pb2.DISPOSITION_WITHDRAWN,
    )
    rig.feed(withdrawn, day=2)
    assert state_pb2.LinkRecord.FromString(rig.on(TOPICS.links)[-1].value).to_key == ""


@pytest.mark.parametrize(
    "condition",
    [
        "features.reports_30d >= 1",
        'features.signal_kinds_30d >= 1 && features.entity_key_scheme == "uscc"',
        "features.facts_365d == 1",
    ],
)
def test_rule_written_in_a_test_fires_without_a_change_of_code(condition: str) -> None:
    """A rule is data: any condition over listed features fires once it is in the bundle."""
    files = [f for f in read_files() if not f.path.startswith("rules/")]
    template = next(f for f in read_files() if f.path.startswith("rules/R01"))
    row = yaml.safe_load(template.content)
    row |= {"id": "R99-written-in-a-test", "condition": condition}
    row |= {"triggers": ["complaints.report_received"], "window_days": 365}
    row["evidence"] = [{"event": "complaints.report_received", "within_days": 7}]
    row["reason"] = {"zh": "{entity_name}测试", "en": "{entity_name} test"}
    fires = {"reports_30d": 1, "signal_kinds_30d": 1, "entity_key_scheme": "uscc", "facts_365d": 1}
    row["examples"] = [
        {"name": "one report", "given": fires, "expect": True},
        {"name": "nothing", "given": {}, "expect": False},
    ]
    content = yaml.safe_dump(row, allow_unicode=True).encode()
    rig = StepRig([*files, BundleFile(path="rules/R99-written-in-a-test.yaml", content=content)])
    report = prepared(example("complaints", "report_received"), record="p1", day=5)
    rig.feed(report, day=5)
    assert [record.alert.rule.rule_id for record in rig.alerts] == ["R99-written-in-a-test"]


def test_bundle_that_cannot_be_used_is_dead_lettered_and_the_old_one_stays() -> None:
    """A broken bundle on the log neither stops the stream nor takes the rules away."""
    rig = StepRig()
    broken = RuleBundle(version=2, files=[BundleFile(path="rules/R98-x.yaml", content=b"id: 1")])
    rig.control(ControlRecord(rule_bundle=broken), day=1)
    assert dict(rig.on(TOPICS.dead_letter)[0].headers)["dlq-reason"] == b"BUNDLE_INVALID"
    rig.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=10)
    assert len(rig.alerts) == 1


def test_every_open_alert_can_be_cleared_however_many_there_are() -> None:
    """Alerts beyond those that the entity's state lists close as well when their facts go."""
    rig = StepRig()

    def failed(number: int, version: int = 1) -> FamilyEvent:
        event = _canteen(inspections.INSPECTION_RESULT_FAIL)
        record, matter = f"i{number:02d}", f"test/i{number:02d}"
        return prepared(event, record=record, matter=matter, day=10, version=version)

    rig.feed(*(failed(number) for number in range(20)), day=10)
    assert len(rig.open_threads()) == 20
    for number in (17, 18):
        withdrawn = failed(number, version=2)
        withdrawn.envelope.disposition = envelope_pb2.DISPOSITION_WITHDRAWN
        withdrawn.ClearField("body")
        rig.feed(withdrawn, day=11)
    assert len(rig.open_threads()) == 18


def test_correction_to_another_event_type_clears_what_the_old_one_raised() -> None:
    """A record that turns out to be of another type is judged by the rules of both."""
    rig = StepRig()
    rig.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=10)
    assert rig.open_threads()
    other = example("inspections", "rectification_ordered")
    rig.feed(prepared(other, record="i1", matter="test/i1", day=10, version=2), day=11)
    assert not rig.open_threads()


def test_condition_that_cannot_be_computed_does_not_hold_and_is_counted() -> None:
    """A product beyond 64 bits neither stops the stream nor keeps an alert open."""
    files = [file for file in read_files() if not file.path.startswith("rules/")]
    made = row(
        condition="features.complaints_7d * 9000000000000000000 > 5",
        examples=[
            {"name": "one", "given": {"complaints_7d": 1}, "expect": True},
            {"name": "none", "given": {}, "expect": False},
        ],
    )
    rig = StepRig([*files, rule_file(made)])
    for number in range(3):
        rig.feed(_complaint(number, day=10), day=10)
    assert not rig.open_threads()
    counts = state_pb2.SuppressedCounts.FromString(rig.store.committed[b"!suppressed"])
    assert counts.rules[0].failed > 0


def _asked_tick(rig: StepRig, day: float) -> bytes:
    """Key of the tick that the step gives on a test day."""
    told = rig.step.tick(rig.stream_time_ms, moment_of(day), rig.store)
    assert told is not None
    return told[0]


def test_tick_that_fires_has_a_key_of_its_own_and_others_share_one_an_hour() -> None:
    """Compaction keeps the newest record of a key: only those may go that fire nothing."""
    rig = StepRig()
    rig.feed(_licence((2026, 3, 31)), day=0)
    hour = 1 / 24
    assert _asked_tick(rig, 0.1) == _asked_tick(rig, 0.1 + hour / 4)
    assert _asked_tick(rig, 0.1).startswith(IDLE_TICK)
    due = {_asked_tick(rig, 1), _asked_tick(rig, 1 + hour / 4)}
    assert len(due) == 2
    assert all(key.startswith(FIRING_TICK) for key in due)
    rig.tick(1)
    assert _asked_tick(rig, 1 + hour).startswith(IDLE_TICK)


def test_tick_that_compaction_may_remove_fires_nothing() -> None:
    """Whatever the clocks of worker and broker say: with it or without it the alerts are equal."""
    rig = StepRig()
    rig.feed(_licence((2026, 3, 31)), day=0)
    idle = ControlRecord(tick=Tick()).SerializeToString()
    rig.run(rig.record(TOPICS.control, IDLE_TICK + b"1", idle, 59))
    assert not rig.alerts
    rig.tick(60)
    assert len(rig.alerts) == 1


def test_tick_asked_between_step_and_commit_leaves_no_old_state_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine asks for a tick before a unit's output is in the store; nothing of that stays."""
    monkeypatch.setattr(working_set, "CACHE_RECORDS_MAX", 0)
    rig = StepRig()
    for version in (2, 3):
        bundle = build_bundle(read_files(), version, datetime(2020, 1, 1, tzinfo=UTC))
        value = ControlRecord(rule_bundle=bundle).SerializeToString()
        record = rig.record(TOPICS.control, b"bundle", value, version)
        output = rig.step.run([record], rig.store, rig.stream_time_ms)
        _asked_tick(rig, 5)
        rig.store.commit(output.changelog, output.local)
    history = state_pb2.BundleHistory.FromString(rig.store.committed[HISTORY_KEY])
    assert [reference.version for reference in history.bundles] == [1, 2, 3]


def test_tick_under_the_key_of_the_first_release_still_fires() -> None:
    """Logs written before hold ticks under the hour; what they fired, a replay fires again."""
    rig = StepRig()
    rig.feed(_licence((2026, 3, 31)), day=0)
    tick = ControlRecord(tick=Tick()).SerializeToString()
    rig.run(rig.record(TOPICS.control, b"tick|490000", tick, 59))
    assert len(rig.alerts) == 1


def test_record_put_aside_is_a_dead_letter_and_counted() -> None:
    """The log stays accounted for: it is dead-lettered, with its bytes, and not looked into."""
    rig = StepRig()
    topic = next(name for name in TOPICS.families if name.endswith("complaints"))
    record = rig.record(topic, b"key", b"\xff poison", 1)
    output = rig.step.refuse(record, 3, rig.store)
    (letter,) = output.side
    headers = dict(letter.headers)
    assert (letter.topic, letter.key, letter.value) == (TOPICS.dead_letter, b"key", b"\xff poison")
    assert headers["dlq-reason"] == b"PROCESS_KILLED"
    assert place_of(letter) == f"{topic}|{record.partition}|{record.offset}".encode()
    counts = state_pb2.RecordCounts.FromString(output.changelog[f"!counts|{topic}".encode()])
    assert counts.dead_lettered == 1


def test_published_records_are_known_again_by_their_identity() -> None:
    """An alert record by its id, whatever else it says; a dead letter by what it is of."""
    rig = StepRig()
    rig.feed(_canteen(inspections.INSPECTION_RESULT_FAIL), day=10)
    topic = next(name for name in TOPICS.families if name.endswith("complaints"))
    rig.run(rig.record(topic, b"key", b"\xff", 11), rig.record(topic, b"key", b"\xff", 11))
    identity = record_identity(TOPICS.alerts)
    (alert,) = rig.on(TOPICS.alerts)
    again = alert_pb2.AlertRecord.FromString(alert.value)
    again.alert.revision = 99
    assert identity(alert) == identity(alert._replace(value=again.SerializeToString()))
    letters = rig.on(TOPICS.dead_letter)
    assert len({identity(letter) for letter in letters}) == len(letters) == 2
