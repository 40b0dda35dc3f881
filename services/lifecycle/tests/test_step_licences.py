"""Licences through the whole step: what was known when, whichever way it arrived."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.common.v1 import envelope_pb2
from market_supervision.control.v1.control_pb2 import BundleFile, ControlRecord
from market_supervision.inspections.v1 import inspections_events_pb2 as inspections
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.registration.v1 import registration_events_pb2 as registration

from services.contracts.bundles import build_bundle, read_files
from services.contracts.families import FamilyEvent
from services.lifecycle.tests.fold_rig import example, prepared
from services.lifecycle.tests.step_rig import StepRig, moment_of

ENTITY_STATE = b"uscc:91442000XX0000019R|e"
NEW_YEAR = date(2026, 1, 1)
TRADING, EXPIRING = "R09", "R10"
RESOLVED = alert_pb2.ALERT_OUTCOME_RESOLVED


def _licence(
    arm: str,
    day: int,
    *,
    until: int | None = None,
    number: int = 1,
    kind: str = "FOOD",
    version: int = 1,
) -> FamilyEvent:
    """A fact about licence ``number``; days count from the beginning of 2026."""
    event = example("registration", arm)
    assert isinstance(event, registration.RegistrationEvent)
    body = getattr(event, arm)
    body.licence.licence_type.code = kind
    for field in ("valid_from_date", "valid_until_date", "last_valid_date"):
        if field in body.DESCRIPTOR.fields_by_name:
            body.ClearField(field)
    if until is not None:
        last = NEW_YEAR + timedelta(days=until)
        name = "last_valid_date" if arm == "licence_expired" else "valid_until_date"
        target = getattr(body, name)
        target.year, target.month, target.day = last.year, last.month, last.day
    record = f"{arm}{number}-{day}"
    return prepared(event, record=record, matter=f"test/l{number}", day=day, version=version)


def _visit(day: int) -> FamilyEvent:
    event = example("inspections", "inspection_completed")
    assert isinstance(event, inspections.InspectionEvent)
    event.inspection_completed.result = inspections.INSPECTION_RESULT_PASS
    event.inspection_completed.place_type = inspections.PLACE_TYPE_UNSPECIFIED
    return prepared(event, record=f"v{day}", matter=f"test/v{day}", day=day)


def _open(rig: StepRig) -> set[tuple[str, str]]:
    """(rule, episode) of the alerts that stand open."""
    last = {record.alert.alert_id: record.alert for record in rig.alerts}
    return {
        (alert.rule.rule_id[:3], alert.episode_key)
        for alert in last.values()
        if alert.state == alert_pb2.ALERT_STATE_OPEN
    }


def _fed(*events: FamilyEvent, day: int) -> StepRig:
    rig = StepRig()
    for event in events:
        rig.feed(event, day=day)
    return rig


def test_two_ended_licences_of_a_type_raise_one_alert_for_the_latest() -> None:
    """A shop with a row of old licences is told of the one that ended last, once."""
    rig = _fed(
        _licence("licence_granted", -900, until=-400, number=1),
        _licence("licence_granted", -400, until=5, number=2),
        _visit(9),
        day=10,
    )
    assert {key for rule, key in _open(rig) if rule == TRADING} == {"matter:test/l2:2026-01-06"}


def test_renewal_resolves_and_a_later_lapse_is_another_episode() -> None:
    """Trading without a licence ends with the renewal; trading after the next lapse is new."""
    rig = _fed(_licence("licence_granted", -300, until=2), _visit(5), day=6)
    first = {key for rule, key in _open(rig) if rule == TRADING}
    rig.feed(_licence("licence_renewed", 7, until=12), day=7)
    outcomes = {record.alert.episode_key: record.alert.outcome for record in rig.alerts}
    assert outcomes["matter:test/l1:2026-01-03"] == RESOLVED
    rig.feed(_visit(14), day=14)
    second = {key for rule, key in _open(rig) if rule == TRADING}
    assert (first, second) == ({"matter:test/l1:2026-01-03"}, {"matter:test/l1:2026-01-13"})


@pytest.mark.parametrize(
    "facts",
    [
        [
            _licence("licence_granted", -300, until=400),
            _licence("licence_revoked", 5),
            _visit(12),
            _licence("licence_renewed", 20, until=400),
        ],
        [
            _licence("licence_granted", -300),
            _visit(12),
            _licence("licence_expired", 20, until=5),
        ],
        [
            _licence("licence_granted", -300, until=2),
            _visit(5),
            _licence("licence_renewed", 7, until=12),
            _visit(14),
        ],
        [
            _licence("licence_granted", -300, until=2),
            _licence("licence_granted", 3, until=6, number=2),
            _visit(9),
        ],
    ],
    ids=["revoked-renewed", "expiry-told-late", "two-lapses", "second-licence"],
)
def test_open_alerts_do_not_depend_on_the_order_of_arrival(facts: list[FamilyEvent]) -> None:
    """The same facts leave the same alerts open, whichever came first."""
    outcomes = {frozenset(_open(_fed(*order, day=21))) for order in permutations(facts)}
    assert len(outcomes) == 1, outcomes


def test_end_of_a_licence_is_remembered_when_it_is_renewed() -> None:
    """As of the days between, the revocation stands; as of the renewal's day it does not."""
    rig = _fed(
        _licence("licence_granted", -300, until=400),
        _licence("licence_revoked", 5),
        _licence("licence_renewed", 20, until=400),
        day=21,
    )
    entity = state_pb2.EntityState.FromString(rig.store.committed[ENTITY_STATE])
    (licence,) = entity.licences
    assert [end.kind for end in licence.ends] == ["revoked"]
    assert (licence.ended_day, licence.ended_kind) == (0, "")


def test_corrected_type_judges_the_licences_of_the_type_before() -> None:
    """A licence that turns out to be of another type no longer replaces the one that lapsed."""
    rig = _fed(
        _licence("licence_granted", -300, until=2, number=1),
        _licence("licence_granted", -10, until=900, number=2),
        _visit(9),
        day=10,
    )
    assert not {key for rule, key in _open(rig) if rule == TRADING}
    other = _licence("licence_granted", -10, until=900, number=2, kind="DRUG", version=2)
    rig.feed(other, day=11)
    assert {key for rule, key in _open(rig) if rule == TRADING} == {"matter:test/l1:2026-01-03"}


def test_warning_of_the_last_day_is_over_when_another_licence_lasts_longer() -> None:
    """A new licence of the type, even one that begins when the old one ends, answers it."""
    rig = _fed(_licence("licence_granted", -300, until=20), day=0)
    assert {rule for rule, _key in _open(rig)} == {EXPIRING}
    rig.feed(_licence("licence_granted", 3, until=900, number=2), day=3)
    assert not _open(rig)
    assert rig.alerts[-1].alert.outcome == RESOLVED


def test_of_two_licences_that_both_run_out_the_later_one_is_announced() -> None:
    """Two licences of a type do not hide each other."""
    rig = _fed(
        _licence("licence_granted", -300, until=10, number=1),
        _licence("licence_granted", -300, until=20, number=2),
        day=0,
    )
    assert _open(rig) == {(EXPIRING, "matter:test/l2:2026-01-21")}


def test_licence_cancelled_with_hindsight_no_longer_hides_the_one_whose_date_has_passed() -> None:
    """The warning of a last day stands whether the other licence's end came before or after it."""
    opened = []
    for known_on_day in (24, 27):
        rig = _fed(
            _licence("licence_granted", -300, until=56, number=1),
            _licence("licence_granted", -300, until=900, number=2),
            day=0,
        )
        for day in range(1, 30):
            if day == known_on_day:
                rig.feed(_licence("licence_cancelled", 22, number=2), day=day)
            rig.tick(day)
        opened.append(_open(rig))
    assert opened[0] == opened[1] == {(EXPIRING, "matter:test/l1:2026-02-26")}


def test_alert_of_a_licence_is_withdrawn_with_it_though_its_matter_holds_other_facts() -> None:
    """What was said of a licence is taken back when the licence turns out to be no licence."""
    other = prepared(example("complaints", "report_received"), record="p1", matter="test/l1", day=1)
    granted, ended = _licence("licence_granted", -300), _licence("licence_revoked", 5)
    rig = _fed(other, granted, ended, _visit(9), day=10)
    assert {rule for rule, _key in _open(rig)} == {TRADING}
    for event in (granted, ended):
        gone = prepared(
            event,
            record=event.envelope.source_record_id,
            matter="test/l1",
            day=5,
            version=2,
            disposition=envelope_pb2.DISPOSITION_WITHDRAWN,
        )
        rig.feed(gone, day=11)
    assert not _open(rig)


def test_end_of_a_licence_bears_on_later_days_whatever_else_its_matter_holds() -> None:
    """A matter that began as a penalty case is still a licence to what is said of the licence."""
    published = example("penalties", "penalty_published")
    case = prepared(published, record="p", matter="test/l1", day=1)
    facts = [case, _visit(12), _licence("licence_revoked", 5)]
    for events in permutations(facts):
        rig = _fed(*events, day=40)
        assert (TRADING, "matter:test/l1:2026-01-06") in _open(rig)


def test_warning_of_the_last_day_is_over_when_the_business_is_struck_off() -> None:
    """Nobody renews the licence of a business that ceased; taken back, the warning stands again."""
    rig = _fed(_licence("licence_granted", -300, until=20), day=0)
    struck_off = example("registration", "entity_deregistered")
    rig.feed(prepared(struck_off, record="x", matter="test/x", day=2), day=2)
    assert not _open(rig)
    gone = prepared(
        struck_off,
        record="x",
        matter="test/x",
        day=2,
        version=2,
        disposition=envelope_pb2.DISPOSITION_WITHDRAWN,
    )
    rig.feed(gone, day=3)
    assert _open(rig) == {(EXPIRING, "matter:test/l1:2026-01-21")}


def _bundle(version: int, offset_days: int, day: int) -> ControlRecord:
    """The configured rules, with the days before a licence's last one moved, from ``day`` on."""
    files = []
    for file in read_files():
        content = file.content.decode()
        content = content.replace("offset_days: -30", f"offset_days: {offset_days}")
        content = content.replace("expiry <= 30", f"expiry <= {-offset_days}")
        content = content.replace("expiry > 30", f"expiry > {-offset_days}")
        content = content.replace("days_until_expiry: 31", f"days_until_expiry: {1 - offset_days}")
        files.append(BundleFile(path=file.path, content=content.encode()))
    effective = datetime.fromtimestamp(moment_of(day) / 1000, UTC)
    return ControlRecord(rule_bundle=build_bundle(files, version, effective))


def test_moved_date_is_looked_for_behind_the_cursor() -> None:
    """A rule that looks earlier from now on also finds what its new date has already passed."""
    rig = _fed(_licence("licence_granted", -300, until=55), day=0)
    rig.tick(4)
    rig.control(_bundle(2, -60, day=5), day=4)
    rig.tick(4.5)
    assert not rig.alerts
    rig.tick(6)
    (record,) = rig.alerts
    assert record.alert.episode_key == "matter:test/l1:2026-02-25"
    rig.tick(7)
    rig.tick(26)
    assert len(rig.alerts) == 1


def test_licences_beyond_those_the_entity_lists_are_judged() -> None:
    """A chain with more licences than its state shows is told of each, and of what replaces it."""
    rig = StepRig()
    rig.feed(
        *(
            _licence("licence_granted", -300, until=5 if n == 1 else 600, number=n, kind=f"T{n}")
            for n in range(1, 21)
        ),
        day=0,
    )
    assert {key for _rule, key in _open(rig)} == {"matter:test/l1:2026-01-06"}
    rig.feed(_visit(9), day=9)
    assert (TRADING, "matter:test/l1:2026-01-06") in _open(rig)
