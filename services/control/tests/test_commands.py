"""Checking and describing the rules of the configuration."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from services.contracts.bundles import build_bundle, read_files
from services.contracts.data_files import CONFIG_ROOT
from services.control import __main__ as commands
from services.control.__main__ import REFERENCE_PAGE
from services.control.publishing import Published
from services.control.reference import reference_page
from services.lifecycle.rules.bundle import CompiledBundle
from services.runtime import clock

ROOT = CONFIG_ROOT.parents[1]


def configured() -> CompiledBundle:
    """The rules of the configuration."""
    return CompiledBundle.from_bundle(build_bundle(read_files(), 1, clock.utc_now()))


def test_reference_page_is_what_the_rules_say() -> None:
    """The committed page has not drifted from the rows it describes."""
    committed = (ROOT / REFERENCE_PAGE).read_text(encoding="utf-8")
    assert committed == reference_page(configured().rules)


def test_no_rule_id_stands_in_code() -> None:
    """A rule is data: no module and no unit test knows one by its id."""
    ids = {rule.row.id for rule in configured().rules}
    assert ids
    found = {
        (path.relative_to(ROOT).as_posix(), rule_id)
        for path in (ROOT / "services").rglob("*.py")
        for rule_id in ids
        if rule_id in path.read_text(encoding="utf-8")
    }
    assert not found


def test_check_names_file_field_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped number is refused with exit code 2 and a line that says where and why."""
    for folder in ("rules", "calendars"):
        shutil.copytree(CONFIG_ROOT / folder, tmp_path / folder)
    broken = next((tmp_path / "rules").glob("*.yaml"))
    broken.write_text(broken.read_text().replace("max_age_days: 30", "max_age_days: thirty"))
    monkeypatch.setattr(sys, "argv", ["control", "check", "--config", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        commands.main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert f"rules/{broken.name}: max_age_days: 'thirty'" in error
    assert "须为整数" in error


@pytest.mark.parametrize(
    ("ahead_seconds", "is_new", "said"),
    [
        (60, True, "published, holds from"),
        (60, False, "published before, holds from"),
        (-60, False, "already in force since"),
    ],
)
def test_publish_says_when_the_bundle_holds(
    *,
    ahead_seconds: int,
    is_new: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bundle published before that holds only later is not said to be in force."""
    moment = clock.utc_now() + timedelta(seconds=ahead_seconds)

    async def published(*_args: object, **_named: object) -> Published:
        return Published(2, "0" * 64, moment, is_new)

    monkeypatch.setattr(commands, "publish_bundle", published)
    monkeypatch.setattr(sys, "argv", ["control", "publish", "--bootstrap-servers", "x:1"])
    with pytest.raises(SystemExit):
        commands.main()
    assert said in capsys.readouterr().out
