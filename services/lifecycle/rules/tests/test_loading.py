"""What is wrong with a row is said with file, field and reason, in both languages."""

from typing import Any

import pytest
from market_supervision.control.v1.control_pb2 import BundleFile

from services.contracts.bundles import build_bundle, content_hash, is_intact, read_files
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.errors import BundleError, Problem
from services.lifecycle.rules.testing import (
    WRITTEN,
    bundle_of,
    calendar,
    configured_bundle,
    row,
    rule_file,
)


def problems_of(*files: BundleFile) -> tuple[Problem, ...]:
    """What compiling these files complains about."""
    with pytest.raises(BundleError) as caught:
        CompiledBundle.from_bundle(build_bundle(files, 1, WRITTEN))
    return caught.value.problems


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"condition": "features.complaints_8d >= 1"}, "condition", "features.complaints_8d"),
        ({"condition": "features.complaints_7d >= 1.5"}, "condition", "double(features.x)"),
        ({"condition": "features.complaints_7d"}, "condition", "must be true or false, not INT"),
        ({"condition": "features.complaints_7d / 2 > 1"}, "condition", "may fail at run time"),
        ({"condition": "features.division_code.matches('(')"}, "condition", "may fail at run"),
        ({"condition": "{'a': features.complaints_7d}.b > 1"}, "condition", "may fail at run"),
        ({"condition": "[1, 2][features.complaints_7d] > 1"}, "condition", "may fail at run"),
        ({"condition": "double((features.division_code)) > 5.0"}, "condition", "is a text"),
        ({"condition": "true"}, "condition", "at least one feature"),
        ({"condition": "has(features.matter)"}, "condition", "features.matter is not in"),
        ({"condition": 'features.matter.result == "fail"'}, "condition", "needs the scope MATTER"),
        ({"resolved_when": "features.nothing"}, "resolved_when", "features.nothing"),
        ({"window_days": 6}, "window_days", "less than the 7 days that complaints_7d"),
        ({"window_days": 732}, "window_days", "732: Input should be less than or equal to 731"),
        ({"triggers": ["complaints.complaint_recieved"]}, "triggers.0", "no event type"),
        ({"evidence": [{"event": "complaints.none"}]}, "evidence.0.event", "no event type"),
        (
            {"evidence": [{"event": "complaints.complaint_received", "own_matter": True}]},
            "evidence.0.own_matter",
            "needs the scope",
        ),
        ({"reason": {"zh": "{nothing}", "en": "x"}}, "reason.zh", "{nothing} is no feature"),
        ({"reason": {"zh": "x", "en": "{complaints_7d:d}"}}, "reason.en", "is no feature"),
        ({"reason": {"zh": "x", "en": "{complaints_7d"}}, "reason.en", "not a template"),
        (
            {"title": {"zh": "x", "en": "{licence_last_date}"}},
            "title.en",
            "needs the scope LICENCE",
        ),
        (
            {"labels": {"matter.nothing": {"a": {"zh": "x", "en": "x"}}}},
            "labels.matter.nothing",
            "no feature",
        ),
        ({"episode": "matter"}, "episode", "needs the scope MATTER or LICENCE"),
        (
            {"due": [{"anchor": "licence_to_day", "offset_days": 0}]},
            "due.0.anchor",
            "needs the scope",
        ),
        ({"valid_to": WRITTEN.date().replace(year=1999)}, "valid_to", "lies before valid_from"),
        ({"version": 0}, "version", "0: Input should be greater than or equal to 1"),
        ({"severity": None}, "severity", "Field required"),
        ({"treshold": 3}, "treshold", "Extra inputs are not permitted"),
        ({"state": "on"}, "state", "'on': Input should be 'draft'"),
        ({"max_age_days": "30"}, "max_age_days", "'30': Input should be a valid integer"),
        (
            {"examples": [{"name": "x", "given": {"complaints_7d": 1}, "expect": True}] * 2},
            "examples",
            "one must not",
        ),
        (
            {
                "examples": [
                    {"name": "x", "given": {"complaints_7d": 0}, "expect": True},
                    {"name": "y", "given": {}, "expect": False},
                ]
            },
            "examples.0",
            "the condition is False, not True",
        ),
        (
            {
                "examples": [
                    {"name": "x", "given": {"complaints_8d": 1}, "expect": True},
                    {"name": "y", "given": {}, "expect": False},
                ]
            },
            "examples.0.given",
            "complaints_8d",
        ),
    ],
)
def test_mistake_in_a_row_is_named(fields: dict[str, Any], field: str, reason: str) -> None:
    """Every mistake is refused at load, at its field, with its reason and a Chinese text."""
    problem = problems_of(calendar(), rule_file(row(**fields)))[0]
    assert (problem.file, problem.field) == ("rules/R90-made-up.yaml", field)
    assert reason in problem.en
    assert any("\u4e00" <= character <= "\u9fff" for character in problem.zh)


def test_every_mistake_of_every_file_is_named_at_once() -> None:
    """Nobody has to mend a bundle one error at a time."""
    first = rule_file(row(id="R91-one", version=0, owner=""))
    second = rule_file(row(id="R92-two", condition="features.nothing"))
    named = {(p.file, p.field) for p in problems_of(calendar(), first, second)}
    assert named == {
        ("rules/R91-one.yaml", "version"),
        ("rules/R91-one.yaml", "owner"),
        ("rules/R92-two.yaml", "condition"),
    }


def test_key_that_stands_twice_is_refused() -> None:
    """YAML would silently keep the last of two thresholds."""
    file = rule_file(row())
    file.content += b"version: 2\n"
    (problem,) = problems_of(calendar(), file)
    assert "stands twice" in problem.en


def test_file_name_and_id_agree() -> None:
    """A copied file keeps no other rule's id."""
    file = rule_file(row())
    file.path = "rules/R90-copy.yaml"
    (problem,) = problems_of(calendar(), file)
    assert problem.field == "id"


def test_bundle_needs_exactly_one_calendar() -> None:
    """Without a calendar no acknowledgement date can be named."""
    (problem,) = problems_of(rule_file(row()))
    assert problem.file == "calendars/"


def test_content_hash_follows_content_not_order_or_version() -> None:
    """Equal files are the same content, whoever sorts them and whatever the version."""
    files = read_files()
    first = build_bundle(files, 1, WRITTEN)
    second = build_bundle(reversed(files), 2, WRITTEN)
    assert first.content_hash == second.content_hash == content_hash(files)
    assert is_intact(first)
    second.files[0].content += b" "
    assert not is_intact(second)


def test_content_is_compiled_once() -> None:
    """The same content in another version costs no second compilation."""
    made = row()
    assert bundle_of(made).rules[0] is bundle_of(made, version=2).rules[0]


def test_configuration_names_the_dates_it_waits_for() -> None:
    """Whoever fires dates learns from the bundle which."""
    bundle = configured_bundle()
    assert bundle.due == (("licence_to_day", -30),)
    waiting = [rule for rule in bundle.rules if rule.row.due]
    assert list(bundle.triggered_by("due.licence_to_day")) == waiting != []
    assert bundle.triggered_by("complaints.parties_told") == ()
