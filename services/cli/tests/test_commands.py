"""What people type is understood, or told to be wrong before anything is done."""

import io
import json
from pathlib import Path

import pytest
import typer
from market_supervision.alerts.v1.alert_pb2 import (
    ALERT_STATE_OPEN,
    SEVERITY_ORANGE,
    SEVERITY_RED,
)
from rich.console import Console
from typer.testing import CliRunner

from services.cli import addresses, import_progress, topics_command
from services.cli.alerts_command import alert_filter
from services.cli.exit_codes import ExitCode
from services.cli.import_progress import plain_line
from services.cli.main import app
from services.cli.profile_command import entity_name
from services.cli.profile_view import shown
from services.importing.endpoints import ENDPOINTS_VARIABLE
from services.importing.session import Progress

run = CliRunner().invoke


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("91442000XX0000019R", "entities/uscc:91442000XX0000019R"),
        ("91442000xx0000019r", "entities/uscc:91442000XX0000019R"),
        ("uscc:91442000XX0000019R", "entities/uscc:91442000XX0000019R"),
        ("442000123456789", "entities/regno:442000123456789"),
        ("entities/chicago-licence:CHI-1", "entities/chicago-licence:CHI-1"),
    ],
)
def test_entity_key_in_the_forms_people_write_names_the_entity(typed: str, name: str) -> None:
    """A bare credit code or registration number needs no scheme."""
    assert entity_name(typed) == name


@pytest.mark.parametrize("typed", ["91442O00XX0000019R", "nowhere:1", "abc", ""])
def test_entity_key_that_is_none_ends_with_the_reason(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that cannot be is told without asking the service."""
    with pytest.raises(typer.Exit) as ended:
        entity_name(typed)
    assert ended.value.exit_code == ExitCode.USAGE
    assert capsys.readouterr().err


def test_alert_filter_takes_words_in_any_case() -> None:
    """Severities and states are words, not numbers."""
    wanted = alert_filter(["442000"], None, ["Red", "orange"], None, None, None, ["open"])
    assert list(wanted.severities) == [SEVERITY_RED, SEVERITY_ORANGE]
    assert list(wanted.states) == [ALERT_STATE_OPEN]
    assert list(wanted.division_prefixes) == ["442000"]


@pytest.mark.parametrize("word", ["pink", "unspecified"])
def test_alert_filter_with_an_unknown_word_names_those_there_are(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped word must not mean everything."""
    with pytest.raises(typer.Exit):
        alert_filter(None, None, [word], None, None, None, None)
    assert "blue, yellow, orange, red" in capsys.readouterr().err


def test_addresses_come_from_the_environment_and_single_ones_are_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JSON itself or a file with it; what is no address is passed over."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    document = json.dumps({"profiles": "a:1", "kafka": "b:2", "pid": 7})
    file = tmp_path / "endpoints.json"
    file.write_text(document, encoding="utf-8")
    for given in (document, str(file)):
        monkeypatch.setenv(ENDPOINTS_VARIABLE, given)
        assert addresses.address("profiles", None) == "a:1"
        assert addresses.address("profiles", ["profiles=c:3"]) == "c:3"
        with pytest.raises(typer.Exit):
            addresses.address("pid", None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "none.csv", "--family", "registration"],
        ["import", __file__, "--family", "registration"],
        ["profile", "get", "uscc:1"],
        ["alerts", "list", "--severity", "pink"],
        ["dead-letters", "show", "seven"],
        ["topics", "--endpoint", "kafka"],
        ["topics", "--replication-factor", "0"],
        ["topics", "--create", "--replication-factor", "2", "--min-insync-replicas", "3"],
        ["rules", "publish", "--config", "/nowhere", "--endpoint", "kafka=127.0.0.1:1"],
    ],
)
def test_command_that_cannot_be_ends_with_usage_and_says_so_in_both_languages(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is running, and nothing needs to be, to tell what is wrong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ENDPOINTS_VARIABLE, raising=False)
    ended = run(app, arguments)
    assert ended.exit_code == ExitCode.USAGE
    assert ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_topics_on_one_broker_of_many_are_warned_of_and_the_code_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks for no number of replicas is told what it means; who asks is answered with that."""
    monkeypatch.setattr(topics_command, "differences", lambda *_, **__: {})
    monkeypatch.setattr(topics_command, "_rows", lambda *_: [])
    monkeypatch.setattr(topics_command, "on_one_broker", lambda _: ["alerts.v1", "links.v1"])
    arguments = ["topics", "--endpoint", "kafka=127.0.0.1:1"]
    ended = run(app, arguments)
    assert ended.exit_code == ExitCode.OK
    assert "warning: 2 of 13 topics stand on one broker" in ended.stderr
    assert "警告" in ended.stderr
    assert "alerts.v1, links.v1" in ended.stderr
    assert run(app, [*arguments, "--replication-factor", "1"]).stderr == ""


def test_plain_progress_line_tells_rate_time_left_and_counts() -> None:
    """Without a terminal the same figures come as lines."""
    progress = Progress(
        rows=1_000, settled=400, accepted=390, rejected=10, under_way=7, sent_again=0
    )
    line = plain_line("a.csv", progress, 200.0)
    assert line == ("a.csv: 400/1,000 rows, 200/s, ETA 3 s, accepted 390, rejected 10, unknown 7")
    assert "ETA ?" in plain_line("a.csv", progress, 0.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"year": 2024, "month": 3, "day": 1}, "2024-03-01"),
        ("2024-03-01T01:02:03.456Z", "2024-03-01T01:02:03Z"),
        ("LICENCE_STATUS_REVOKED", "revoked"),
        (["fine", "warning"], "fine, warning"),
        ("chicago.business_licenses/CHI-1", "chicago.business_licenses/CHI-1"),
        (3, "3"),
    ],
)
def test_profile_values_are_shown_in_few_characters(value: object, text: str) -> None:
    """Days as days, times without fractions, enums without prefix, the rest as it is."""
    assert shown(value) == text


def test_progress_on_a_terminal_is_a_bar_with_the_same_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal one bar shows rows, rate, taken, refused and what is under way."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=160)
    monkeypatch.setattr(import_progress, "messages", terminal)
    with import_progress.ImportProgress("a.csv") as bar:
        for settled in (0, 400):
            bar.show(
                Progress(
                    rows=1_000,
                    settled=settled,
                    accepted=settled,
                    rejected=0,
                    under_way=7,
                    sent_again=0,
                )
            )
    shown_text = screen.getvalue()
    assert "400/1000" in shown_text
    assert "400 taken" in shown_text
    assert "7 unknown" in shown_text
