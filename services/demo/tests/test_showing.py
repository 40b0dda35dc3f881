"""What a person is shown: rates, lag, alert lines, and commands that work."""

from datetime import date
from io import StringIO
from pathlib import Path

import protovalidate
import pytest
from google.protobuf.json_format import Parse
from market_supervision.alerts.v1.alert_pb2 import (
    ALERT_OUTCOME_WITHDRAWN,
    ALERT_STATE_CLOSED,
    ALERT_TRANSITION_CLOSED,
    ALERT_TRANSITION_RAISED,
    SEVERITY_RED,
    AlertRecord,
)
from market_supervision.complaints.v1.complaints_events_pb2 import ComplaintEvent
from rich.console import Console

from services.contracts import topics
from services.contracts.families import FAMILIES
from services.contracts.topics import PARTITIONS
from services.demo.gauges import UNKNOWN, Lag, RateMeter, stream_lag, view_lag
from services.demo.hints import EXAMPLE_COMPLAINTS, hints, write_example
from services.demo.screen import Screen, View
from services.readmodel.freshness import PartitionReading
from services.readmodel.positions import Heads
from services.streaming.meta import Applied
from services.synthetic.city import CityArguments, build_city


def _plain() -> tuple[Screen, StringIO]:
    out = StringIO()
    return Screen(Console(file=out, width=200), plain=True), out


def test_rates_are_of_the_last_seconds() -> None:
    """A rate is what came within the last five seconds; what was before is forgotten."""
    meter = RateMeter()
    meter.read(0.0, {"complaints": 0})
    assert meter.read(4.0, {"complaints": 400})["complaints"] == pytest.approx(100)
    assert meter.read(20.0, {"complaints": 400})["complaints"] == 0


def test_stream_lag_is_unknown_until_every_end_is_known() -> None:
    """A missing partition or topic makes the lag unknown, not zero."""
    names = [topics.name(family.topic) for family in FAMILIES]
    whole = {str(n): {"lag": dict.fromkeys(names, 2)} for n in range(PARTITIONS)}
    assert stream_lag(whole) == 2 * len(names) * PARTITIONS
    assert stream_lag({"0": whole["0"]}) == UNKNOWN
    whole["3"] = {"lag": {names[0]: 2}}
    assert stream_lag(whole) == UNKNOWN


def test_plain_screen_says_each_alert_in_both_languages() -> None:
    """Without a terminal an alert is a line with level, rule, entity and both reasons."""
    screen, out = _plain()
    record = AlertRecord(transition=ALERT_TRANSITION_RAISED)
    record.alert.rule.rule_id = "R-any"
    record.alert.severity = SEVERITY_RED
    record.alert.reason.zh, record.alert.reason.en = "理由", "a reason"
    screen.alert(record)
    record.transition = ALERT_TRANSITION_CLOSED
    record.alert.state, record.alert.outcome = ALERT_STATE_CLOSED, ALERT_OUTCOME_WITHDRAWN
    screen.alert(record)
    text = out.getvalue()
    assert "ALERT raised / 预警触发 [red 红] R-any" in text
    assert "理由" in text
    assert "a reason" in text
    assert "closed: withdrawn / 预警关闭·依据撤回" in text


def test_plain_screen_repeats_nothing() -> None:
    """A status line comes at most every five seconds, and only when something changed."""
    screen, out = _plain()
    for now in (0.0, 1.0, 6.0, 12.0):
        screen.show(View(phase="p", lag=Lag(1, UNKNOWN)), now)
    screen.show(View(phase="q", lag=Lag(1, UNKNOWN)), 18.0)
    assert out.getvalue().count("stream lag 1  view lag …") == 2


def test_live_screen_draws_without_a_terminal_error() -> None:
    """The terminal screen shows families, lag and alerts of one view."""
    out = StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    with Screen(console, plain=False) as screen:
        screen.alert(AlertRecord(transition=ALERT_TRANSITION_RAISED))
        screen.show(View(phase="present", accepted={"complaints": 7}), 0.0)
    for words in ("present", "complaints", "view lag", "Alerts"):
        assert words in out.getvalue()


def test_hints_name_a_file_that_can_be_imported(tmp_path: Path) -> None:
    """The example holds valid complaints about one entity, and the text names file and entity."""
    file = tmp_path / "example.jsonl"
    present = date(2026, 6, 30)
    city = build_city(CityArguments(1, present, entities=100))
    write_example(file, present, city.entities[-1])
    events = [Parse(line, ComplaintEvent()) for line in file.read_text().splitlines()]
    assert len(events) == EXAMPLE_COMPLAINTS
    assert len({e.envelope.entity_key.value for e in events}) == 1
    own = {(s.event.envelope.source_system, s.event.envelope.matter_id) for s in city.submissions}
    assert not own & {(e.envelope.source_system, e.envelope.matter_id) for e in events}
    assert not [v for e in events for v in protovalidate.collect_violations(e)]
    assert str(file) in hints("uscc:1", file)
    assert "profile get uscc:1" in hints("uscc:1", file)


def test_hints_of_another_folder_carry_its_addresses() -> None:
    """Each command finds this system; in the usual folder that needs no word."""
    file = Path("elsewhere/example.jsonl")
    commands = [line for line in hints("uscc:1", file).splitlines() if "msctl" in line]
    assert len(commands) == 3
    for line in commands:
        assert line.strip().startswith("MARKET_SUPERVISION_ENDPOINTS=elsewhere/endpoints.json ")
    assert "MARKET_SUPERVISION_ENDPOINTS" not in hints("uscc:1", Path(".run/example.jsonl"))


class _Reader:
    """Every partition read to its end, as of one moment."""

    def __init__(self, asked_ms: int) -> None:
        self._asked_ms = asked_ms

    async def partition_freshness(self, _partition: int) -> PartitionReading:
        """Return the same of each."""
        names = [topics.name(family.topic) for family in FAMILIES]
        applied = dict.fromkeys(names, Applied(4, 1))
        return PartitionReading(applied, Heads(self._asked_ms, dict.fromkeys(names, 4)))


async def test_view_lag_read_before_the_last_record_is_unknown() -> None:
    """A gauge from before says nothing of what was sent since."""
    reader = _Reader(asked_ms=1_000)
    assert await view_lag(reader, 1_000) == 0  # type: ignore[arg-type]
    assert await view_lag(reader, 1_001) == UNKNOWN  # type: ignore[arg-type]
