"""What each check of the judge reports, on evidence made by hand."""

import base64
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from market_supervision.alerts.v1.alert_pb2 import (
    SEVERITY_ORANGE,
    AlertFilter,
    AlertRecord,
    Severity,
)
from market_supervision.lifecycle.v1.state_pb2 import AlertThread

from integration_tests.judge import judgement
from integration_tests.judge.accounting import check_accounting, refused_on_its_word
from integration_tests.judge.answer_log import Answer
from integration_tests.judge.answers import check_versions
from integration_tests.judge.durability import check_acknowledged, check_nothing_else
from integration_tests.judge.evidence import Evidence, load
from integration_tests.judge.history import Operation, Place, Slot, read_history
from integration_tests.judge.judgement import judge, judge_log
from integration_tests.judge.placement import check_placement, homes_of
from integration_tests.judge.raw_log import (
    ALERTS,
    CONTROL,
    DEAD_LETTERS,
    EVENT_TOPICS,
    LINKS,
    STATE,
    TIMELINE,
    LogRecord,
    RawLog,
)
from integration_tests.judge.recordings import Delivery, Recording, read_recording
from integration_tests.judge.reference.facts import check_body
from integration_tests.judge.sequence import History, in_order, walk
from integration_tests.judge.subscribers import check_subscribers
from integration_tests.judge.verdict import Verdict
from integration_tests.nemesis import deadly_places as deadly
from integration_tests.planted_bugs.bugs import BUGS, CONTROLS, EXPECTED_ANYWAY
from integration_tests.system.drawn_log import PREFIX, MemoryPartition, Shape, draw_log
from integration_tests.system.support import Raw
from services.contracts import topics
from services.contracts.examples import load_example
from services.contracts.families import family_of
from services.contracts.identifiers import kafka_key


@pytest.fixture(scope="module")
def log() -> RawLog:
    """A small log with alerts."""
    return draw_log(4, Shape(records=150, entities=2))


def operation(log: RawLog, place: Place, kind: str = "ok") -> Operation:
    """An operation that put a record of the log there, as its client knows it."""
    record = log.at(log.short(place.topic), place.partition, place.offset)
    assert record is not None
    return Operation("c", place.offset, kind, Slot("", "", "", 0), "", "", place, "")


def all_operations(log: RawLog) -> list[Operation]:
    """An operation for every record of the event topics."""
    places = [Place(PREFIX + r.topic, r.partition, r.offset) for r in log.events]
    return [operation(log, place) for place in places]


def test_receipt_without_its_record_is_lost(log: RawLog) -> None:
    """O1 reports a receipt whose place is empty."""
    verdict = Verdict()
    known = all_operations(log)[0]
    beyond = Place(PREFIX + EVENT_TOPICS[0], 0, 10_000)
    lost = Operation("c", 1, "ok", known.slot, "", "", beyond, "")
    check_acknowledged([known, lost], log, verdict)
    assert [finding.check for finding in verdict.findings] == ["O1"]
    assert verdict.counts["lost"] == 1


def test_receipt_that_names_another_record_is_lost(log: RawLog) -> None:
    """O1 reports a receipt whose place holds something else."""
    verdict = Verdict()
    place = all_operations(log)[0].place
    wrong = Operation("c", 1, "ok", Slot("complaints", "x", "y", 1), "", "id", place, "")
    check_acknowledged([wrong], log, verdict)
    assert verdict.found_by("O1")


def test_receipt_that_names_no_event_topic_is_lost(log: RawLog) -> None:
    """O1 reports a client's receipt of a topic that holds no events, or of none at all."""
    verdict = Verdict()
    slot = Slot("complaints", "x", "y", 1)
    elsewhere = Place(PREFIX + CONTROL, 0, 0)
    wrong = Operation("c", 1, "ok", slot, "", "id", elsewhere, "")
    check_acknowledged([wrong, replace(wrong, place=None)], log, verdict)
    assert len(verdict.found_by("O1")) == 2


def test_record_that_a_test_put_beside_the_event_topics_is_not_lost(log: RawLog) -> None:
    """O1 does not look for what no client submitted on topics of no events."""
    verdict = Verdict()
    place = Place(PREFIX + CONTROL, 0, 10_000)
    check_acknowledged(
        [Operation("c", 1, "ok", Slot("", "", "", 0), "", "", place, "")], log, verdict
    )
    assert verdict.ok, str(verdict)


def log_with_one_put_aside() -> tuple[RawLog, Place]:
    """A log of three sound events of which the second was put aside, and where that one stands."""
    partition = MemoryPartition(max_age_days=36_500)
    records = []
    for number in range(3):
        event = load_example("complaints", "complaint_received")
        event.envelope.source_system, event.envelope.source_record_id = "aside", f"r{number}"
        event.envelope.source_version, event.envelope.event_id = 1, f"e{number}"
        event.envelope.matter_id = f"aside/m{number}"
        key, value = kafka_key(event.envelope.entity_key), event.SerializeToString()
        topic = family_of(event).topic
        records.append(
            partition.append(topic, key, value, 1_800_000_000_000 + number, b"\x07" * 32)
        )
    partition.run(records[:1])
    partition.put_aside(records[1])
    partition.run(records[2:])
    return partition.raw_log(), Place(records[1].topic, 0, records[1].offset)


def test_record_put_aside_is_believed_only_where_somebody_planted_a_killer() -> None:
    """O9 reports a sound record that was put aside, unless the evidence names its place."""
    log, place = log_with_one_put_aside()
    verdict = Verdict()
    judge_log(log, verdict, [place])
    assert verdict.ok, str(verdict)
    assert (verdict.counts["dead_letters"], verdict.counts["entities"]) == (1, 1)
    for permitted in ((), [place._replace(offset=place.offset + 1)]):
        verdict = Verdict()
        judge_log(log, verdict, permitted)
        texts = [finding.text for finding in verdict.found_by("O9")]
        assert "a dead letter of a sound record" in texts, str(verdict)
        assert verdict.found_by("O3"), "what it should have come to is missing"


def test_places_of_killers_are_those_of_the_records_that_bear_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nemesis permits what its bug stumbles over, under full topic names, and nothing else."""
    held = {
        "complaints.v1": [Raw(3, 7, 0, b"k", b"..deadly-kills-1..", ())],
        "penalties.v1": [Raw(0, 1, 0, b"k", b"sound", ()), Raw(0, 2, 0, None, b"", ())],
    }
    monkeypatch.setattr(deadly, "read_topic", lambda _bootstrap, short: held.get(short, []))
    places = deadly.deadly_places("", ["deadly-kills-1", "deadly-kills-2"])
    assert places == [Place(topics.name("complaints.v1"), 3, 7)]
    assert not deadly.deadly_places("", ())


def in_two_partitions(log: RawLog, topic: str, chosen: LogRecord, *, moved: bool) -> RawLog:
    """The log with one record moved, or copied, to a second partition without events."""
    records = list(log.records[topic])
    if moved:
        records.remove(chosen)
    records.append(chosen._replace(partition=1, offset=0))
    ends = {**log.ends, **{(name, 1): 0 for name, _partition in log.ends}}
    return replace(log, records={**log.records, topic: records}, ends=ends, partitions=2)


@pytest.fixture(scope="module")
def rich_log() -> RawLog:
    """A log with records of every kind."""
    return draw_log(3, Shape(records=400, entities=1, matters=1))


@pytest.fixture(scope="module")
def rich_history(rich_log: RawLog) -> History:
    """What the events of that log come to."""
    return walk(in_order(rich_log), refused_on_its_word(rich_log), check_body)


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "copied"])
@pytest.mark.parametrize(
    ("topic", "part", "check"),
    [
        *((STATE, f"|{letter}", "O3") for letter in "etmys"),
        (STATE, "|a|", "O4"),
        (TIMELINE, "|", "O3"),
        (LINKS, "", "O3"),
        (ALERTS, "", "O4"),
        (DEAD_LETTERS, "", "O9"),
    ],
)
def test_record_in_another_partition_than_its_events_is_reported(
    rich_log: RawLog, rich_history: History, topic: str, part: str, check: str, *, moved: bool
) -> None:
    """The check reports the record, even where the right one stands in its place as well."""
    held = [r for r in rich_log.records[topic] if part in (r.key or b"").decode(errors="replace")]
    harmed = in_two_partitions(rich_log, topic, held[-1], moved=moved)
    verdict = Verdict()
    check_placement(harmed, homes_of(rich_history.applied), verdict)
    check_accounting(harmed, rich_history, (), verdict)
    texts = [finding.text for finding in verdict.found_by(check)]
    assert any("in another partition than its" in text for text in texts), str(verdict)


def test_state_in_two_partitions_is_no_sound_view(log: RawLog) -> None:
    """The whole judgement passes an empty second partition, and reports an entity that is in it."""
    chosen = [r for r in log.records[STATE] if (r.key or b"").endswith(b"|e")][-1]
    harmed = in_two_partitions(log, STATE, chosen, moved=False)
    empty = replace(harmed, records=log.records)
    sound, wrong = Verdict(), Verdict()
    judge_log(empty, sound)
    judge_log(harmed, wrong)
    assert sound.ok, str(sound)
    assert sound.digests != wrong.digests
    texts = {finding.text for finding in wrong.found_by("O3")}
    assert {
        "a record in another partition than its events",
        "a record of nothing on the log",
    } <= texts


def test_events_of_one_entity_in_two_partitions_are_reported(log: RawLog) -> None:
    """O3 reports that intakes do not agree on an entity's partition."""
    verdict = Verdict()
    check_placement(log, {"regno:1": {0, 1}}, verdict)
    assert verdict.found_by("O3")


@pytest.mark.parametrize(
    ("later_ms", "severity", "rebuilt", "sound"),
    [
        (1, None, False, False),
        (1, None, True, True),
        (60_000, None, True, False),
        (0, None, True, False),
        (1, SEVERITY_ORANGE, True, False),
    ],
    ids=["never-rebuilt", "rebuilt", "another-minute", "another-due-date", "another-severity"],
)
def test_only_a_rebuilt_state_may_tell_other_times_than_were_published(
    log: RawLog,
    later_ms: int,
    severity: Severity.ValueType | None,
    rebuilt: bool,  # noqa: FBT001  a row of a table
    sound: bool,  # noqa: FBT001  a row of a table
) -> None:
    """O4 names the fields in which a thread differs; brokers' stamps explain moments, no more."""
    records = list(log.records[STATE])
    place = next(i for i, r in reversed(list(enumerate(records))) if b"|a|" in (r.key or b""))
    thread = AlertThread.FromString(records[place].value or b"")
    thread.alert.update_time.FromMilliseconds(thread.alert.update_time.ToMilliseconds() + later_ms)
    if severity is not None:
        thread.alert.severity = severity
    if not later_ms:
        thread.alert.acknowledge_due_date.day += 1
    records[place] = records[place]._replace(value=thread.SerializeToString())
    verdict = Verdict()
    judge_log(replace(log, records={**log.records, STATE: records}), verdict, rebuilt=rebuilt)
    found = [each for each in verdict.found_by("O4") if "as last published" in each.text]
    assert bool(found) is not sound, str(verdict)
    assert verdict.counts.get("threads_at_other_times", 0) == int(sound)
    assert sound or ("update_time" if later_ms else "acknowledge_due_date") in str(found[0])


def test_no_planted_bug_is_caught_by_what_its_run_comes_to_anyway() -> None:
    """Each bug is told from its control run, which every one has, by a check of its own."""
    assert len({bug.patch for bug in BUGS}) == 10
    for bug in BUGS:
        assert bug.scenario in CONTROLS
        told = {check for check, _words in bug.findings}
        assert not told & EXPECTED_ANYWAY.get(bug.scenario, frozenset()), bug.patch
        assert not any("stand at the end" in words for _check, words in bug.findings), bug.patch


def evidence_of_nothing(directory: Path) -> Evidence:
    """Evidence whose topics somebody else gives."""
    return Evidence("", "", None, None, directory / "history.jsonl", [], None)


def test_required_check_that_cannot_be_made_is_a_finding(
    log: RawLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without history and without rules is not sound, unless its caller asks for less."""
    no_rules = replace(log, records={**log.records, CONTROL: [], ALERTS: []})
    monkeypatch.setattr(judgement, "read_log", lambda *_arguments: no_rules)
    evidence = evidence_of_nothing(tmp_path)
    verdict = judge(evidence)
    assert verdict.alerts == 0
    assert not verdict.ok
    for check in ("O1", "O2", "O4"):
        assert any("not made" in finding.text for finding in verdict.found_by(check)), check
    modest = judge(replace(evidence, required=["O3b"]))
    assert not any("not made" in finding.text for finding in modest.findings), str(modest)
    monkeypatch.setattr(judgement, "read_log", lambda *_arguments: log)
    assert judge(evidence).alerts == len(log.records[ALERTS]) > 0


def test_evidence_requires_every_check_it_has_something_for(tmp_path: Path) -> None:
    """What is given has to be judged, and a saved run directory says the same."""
    bare = evidence_of_nothing(tmp_path)
    assert "O5" not in bare.demanded
    assert "O7" not in bare.demanded
    full = replace(
        bare,
        redis_url="redis://nowhere",
        profiles_address="nowhere:1",
        recordings=[tmp_path / "s.jsonl"],
        answers=tmp_path / "answers.jsonl",
        put_aside=[Place("complaints.v1", 3, 7)],
        rebuilt=True,
    )
    assert {"O5", "O6", "O6 versions", "O7"} | set(bare.demanded) == set(full.demanded)
    full.save(tmp_path)
    assert load(tmp_path) == full
    assert set(replace(full, required=["O1"]).demanded) == {"O1"}


def test_record_that_nobody_sent_is_a_phantom(log: RawLog) -> None:
    """O2 reports exactly the record that no operation accounts for."""
    verdict = Verdict()
    check_nothing_else(all_operations(log), log, verdict)
    assert verdict.ok, str(verdict)
    check_nothing_else(all_operations(log)[1:], log, verdict)
    assert len(verdict.found_by("O2")) == 1


def test_answers_that_go_back_are_reported() -> None:
    """O6 reports an entity that is older for one caller than it was; other callers may lag."""
    verdict = Verdict()
    answers = [
        Answer("a", "k", "OK", {"complaints": (3, 7)}),
        Answer("b", "k", "OK", {"complaints": (3, 5)}),
        Answer("a", "k", "UNAVAILABLE", {}),
        Answer("a", "k", "OK", {"complaints": (3, 7)}),
    ]
    check_versions(answers, verdict)
    assert verdict.ok
    check_versions([*answers, Answer("a", "k", "OK", {"complaints": (3, 6)})], verdict)
    assert verdict.found_by("O6")


def cursor(position: int) -> str:
    """A cursor of one partition; who reads it does not check the signature."""
    raw = b"\x01" + b"t" * 16 + b"f" * 16 + struct.pack(">Q", position) + b"s" * 16
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def watched(log: RawLog, *parts: tuple[int, int], wanted: AlertFilter | None = None) -> Verdict:
    """The verdict over a subscriber that was given the alerts of some ranges, as messages."""
    ids = [AlertRecord.FromString(r.value or b"").alert_event_id for r in log.records[ALERTS]]
    deliveries = [Delivery(ids[low:high], cursor(high)) for low, high in parts]
    verdict = Verdict()
    recording = Recording("s", "earliest", wanted or AlertFilter(), deliveries)
    check_subscribers([recording], log, verdict)
    return verdict


def test_subscriber_with_everything_once_in_order_is_content(log: RawLog) -> None:
    """O7 passes every alert once, in as many messages as there may be."""
    assert len(log.records[ALERTS]) > 4
    assert watched(log, (0, 2), (2, 2), (2, 4)).ok


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([(0, 2), (3, 4)], id="one is missing"),
        pytest.param([(0, 2), (1, 4)], id="one comes again"),
        pytest.param([(0, 3), (0, 2)], id="the cursor goes back"),
    ],
)
def test_subscriber_with_a_gap_or_a_repeat_is_reported(
    log: RawLog, parts: list[tuple[int, int]]
) -> None:
    """O7 reports gaps, repeats and cursors that go back."""
    assert watched(log, *parts).found_by("O7")


def test_alert_beside_the_filter_is_reported(log: RawLog) -> None:
    """O7 reports what the subscriber did not ask for."""
    wanted = AlertFilter(rule_ids=["R99-no-such-rule"])
    assert watched(log, (0, 2), wanted=wanted).found_by("O7")


def test_history_ends_where_its_client_was_killed(tmp_path: Path) -> None:
    """A half-written last line is dropped; an invocation without an outcome is unknown."""
    line = {
        "client": "c",
        "family": "complaints",
        "source_system": "s",
        "source_record_id": "r",
        "source_version": 1,
        "entity_key": "k",
    }
    path = tmp_path / "history.jsonl"
    lines = [
        {"op": 1, "kind": "invoke", **line},
        {"op": 1, "kind": "fail", **line},
        {"op": 2, "kind": "invoke", **line},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines) + '{"op": 3, "ki')
    assert [each.kind for each in read_history(path)] == ["fail", "info"]


def test_recording_gives_back_its_filter(tmp_path: Path) -> None:
    """What a subscriber asked for is read as it was written."""
    wanted = AlertFilter(rule_ids=["R01-complaint-burst"], severities=[SEVERITY_ORANGE])
    shown = MessageToDict(wanted, preserving_proto_field_name=True)
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"subscriber": "s", "start": "now", "filter": shown}) + "\n")
    assert read_recording(path).wanted == wanted
