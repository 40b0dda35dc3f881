"""The parts of the nemesis that need no server: schedules, results, the page, bound tests."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from integration_tests.nemesis import report
from integration_tests.nemesis.bound_tests import run_tests
from integration_tests.nemesis.catalogue import CATALOGUE
from integration_tests.nemesis.faults import FAULTS
from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.plan import Plan, Result, Row
from integration_tests.nemesis.report import other_view, passed_already, read_results, write_page
from integration_tests.nemesis.schedule import schedule
from integration_tests.nemesis.shaping import content_of, shaped
from integration_tests.nemesis.submissions import draw_submissions

PLANS = [
    (row.number, plan)
    for row in CATALOGUE.values()
    for plan in (row.quick, row.full)
    if isinstance(plan, Plan)
]


@pytest.mark.parametrize(("number", "plan"), PLANS)
def test_schedule_is_that_of_its_seed_and_names_known_faults(number: str, plan: Plan) -> None:
    """The same seed strikes the same blows; no act begins before the one before has ended."""
    acts = schedule(plan.strikes + plan.disaster, number, 7)
    assert acts == schedule(plan.strikes + plan.disaster, number, 7)
    assert {act.fault for act in acts} <= FAULTS.keys()
    ends = [round(act.at_s + act.duration_s, 3) for act in acts]
    assert all(act.at_s >= end - 0.002 for act, end in zip(acts[1:], ends, strict=False))


def test_last_result_of_a_row_and_seed_counts(tmp_path: Path) -> None:
    """A row that failed and passed when it was run again is left out by a resumed run."""
    file = tmp_path / "results.jsonl"
    results = [
        Result("T02", 7, ok=False),
        Result("T02", 7, ok=True),
        Result("T03", 7, ok=True),
        Result("T03", 7, ok=False),
    ]
    file.write_text("".join(each.line() + "\n" for each in results))
    assert [(each.row, each.ok) for each in read_results(file)] == [("T02", True), ("T03", False)]
    assert passed_already(file, "", quick=False) == {"T02"}


def test_short_round_or_one_of_other_code_is_no_pass(tmp_path: Path) -> None:
    """A resumed run leaves out only what was shown of the same code at the same length."""
    file = tmp_path / "results.jsonl"
    results = [
        Result("T02", 7, ok=True, commit="now", quick=True),
        Result("T03", 7, ok=True, commit="before"),
        Result("T05", 7, ok=True, commit="now"),
        Result("T05", 7, ok=False, commit="now", quick=True),
    ]
    file.write_text("".join(each.line() + "\n" for each in results))
    assert passed_already(file, "now", quick=False) == {"T05"}
    assert passed_already(file, "now", quick=True) == {"T02"}


def test_line_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """What a result did not tell then is empty."""
    line = asdict(Result("T02", 7, ok=True, events=5))
    del line["tests"]
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(line) + "\n")
    assert read_results(file)[0].tests == 0


def test_round_of_the_same_events_that_comes_to_another_view_is_found() -> None:
    """Rounds that failed, of other events or without any say nothing."""
    result = Result("T03", 7, content="a", digest_after="x")
    agreeing = Result("T02", 7, ok=True, content="a", digest_after="x")
    others = [
        Result("T05", 7, ok=True, content="b", digest_after="y"),
        Result("T06", 7, ok=False, content="a", digest_after="y"),
    ]
    assert not other_view(result, [agreeing, *others])
    differing = Result("T08", 7, ok=True, content="a", digest_after="y")
    assert other_view(result, [agreeing, differing]).startswith("T08 came to another view")
    assert not other_view(Result("T22", 7), [Result("T31", 7, ok=True)])


def test_content_is_that_of_the_events_in_any_order_without_the_deadly_ones() -> None:
    """What comes to nothing or comes late does not change it; what is left out does."""
    items = draw_submissions(7, 0)
    content = content_of(items, ())
    late = LoadShape(late_share=0.1, deadly=("deadly-1",))
    assert content_of(shaped(items, late, 7), late.deadly) == content
    assert content_of(items[1:], ()) != content


def test_page_shows_failures_and_what_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that failed, was not run or cannot be shown is left out."""
    beyond = Row("T99", "nothing shows it yet", missing="everything")
    monkeypatch.setattr(report, "CATALOGUE", {**CATALOGUE, beyond.number: beyond})
    file, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    result = Result("T02", 7, ok=False, events=9, checks={"O1": "passed", "O3": "2 findings"})
    file.write_text(result.line() + "\n")
    write_page(file, page)
    lines = {line.split(" | ")[0]: line for line in page.read_text().splitlines()}
    assert "| FAIL | 9 |" in lines["| T02"]
    assert "| O1 |" in lines["| T02"]
    assert "| not run |" in lines["| T03"]
    assert "| not shown |" in lines["| T99"]


@pytest.mark.parametrize(
    ("body", "passes"),
    [
        ("assert True", True),
        ("assert False", False),
        ("import pytest; pytest.skip('not here')", False),
    ],
)
def test_bound_test_that_fails_or_is_skipped_is_a_finding(
    tmp_path: Path, body: str, *, passes: bool
) -> None:
    """Only a test that ran and passed shows a row."""
    file = tmp_path / "test_bound.py"
    file.write_text(f"def test_it():\n    {body}\n")
    result = Result("T31", 7)
    run_tests([f"{file}::test_it"], result, "127.0.0.1:1")
    assert result.tests == int(passes)
    assert (not result.findings) == passes


def test_bound_test_that_is_gone_is_a_finding(tmp_path: Path) -> None:
    """A renamed test must not leave its row shown by nothing."""
    file = tmp_path / "test_bound.py"
    file.write_text("def test_it():\n    pass\n")
    result = Result("T31", 7)
    run_tests([f"{file}::test_other"], result, "127.0.0.1:1")
    assert result.findings
