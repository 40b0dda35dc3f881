"""What each check of the judge reports, on evidence made by hand."""

import base64
import json
import struct
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from market_supervision.alerts.v1.alert_pb2 import SEVERITY_ORANGE, AlertFilter, AlertRecord

from integration_tests.judge.answer_log import Answer
from integration_tests.judge.answers import check_versions
from integration_tests.judge.durability import check_acknowledged, check_nothing_else
from integration_tests.judge.history import Operation, Place, Slot, read_history
from integration_tests.judge.raw_log import ALERTS, EVENT_TOPICS, RawLog
from integration_tests.judge.recordings import Delivery, Recording, read_recording
from integration_tests.judge.subscribers import check_subscribers
from integration_tests.judge.verdict import Verdict
from integration_tests.system.drawn_log import PREFIX, Shape, draw_log


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
