"""The parts of the benchmark that decide what is believed: ratios, verdicts, merging, refusal."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration_tests.performance import bench, foreign_load, machine, report, run_row
from integration_tests.performance.catalogue import ROWS
from integration_tests.performance.peer_fold import Load, digest, fold
from integration_tests.performance.peer_reference import expected_states
from integration_tests.performance.row import Figure, Row, Verdict, document, run_pairs, summarise
from integration_tests.performance.session import Session


def row(name: str = "r", **asked: Any) -> Row:
    """A row that is never measured."""

    def never(_: Session) -> Figure:
        raise AssertionError

    return Row(name, "ours", "theirs", "events/s", never, never, **asked)


def measured(
    name: str, ratio: float, *, valid: bool = True, commit: str = "abc1234", **asked: Any
) -> dict[str, Any]:
    """What latest.json keeps of a row."""
    details = {"distinct_per_s": ratio / 2}
    summary = summarise([(Figure(ratio, details), Figure(1.0))])
    return document(row(name, must=1.0, goal=2.0, **asked), summary) | {
        "valid": valid,
        "load": {"during": 0.02},
        "date": "2026-11-23T10:00:00+00:00",
        "commit": commit,
        "machine": {"processors": 2, "processor": "one of two"},
    }


def test_ratio_is_the_median_of_the_pairs_with_their_range() -> None:
    """One odd pair moves the range, not the ratio."""
    pairs = [(Figure(20.0), Figure(10.0)), (Figure(30.0), Figure(10.0)), (Figure(9.0), Figure(9.0))]
    summary = summarise(pairs)
    assert (summary.ratio, summary.low, summary.high) == (2.0, 1.0, 3.0)


def test_pairs_alternate(tmp_path: Path) -> None:
    """Neither side is always the first."""
    order: list[str] = []

    def measure(side: str) -> Callable[[Session], Figure]:
        def call(_: Session) -> Figure:
            order.append(side)
            return Figure(1.0)

        return call

    one = Row("r", "", "", "", measure("ours"), measure("base"))
    run_pairs(one, Session(tmp_path))
    assert order == ["ours", "base", "base", "ours", "ours", "base"]


@pytest.mark.parametrize(
    ("ratio", "lower", "verdict"),
    [
        (2.0, False, Verdict.GOAL),
        (1.5, False, Verdict.MUST),
        (1.49, False, Verdict.MISSED),
        (1.5, True, Verdict.GOAL),
        (2.0, True, Verdict.MUST),
        (2.01, True, Verdict.MISSED),
    ],
)
def test_verdict(ratio: float, *, lower: bool, verdict: Verdict) -> None:
    """The limits themselves are reached; just beyond them they are not."""
    must, goal = (2.0, 1.5) if lower else (1.5, 2.0)
    assert row(must=must, goal=goal, lower_is_better=lower).verdict(ratio) is verdict


def test_one_row_renewed_leaves_the_others() -> None:
    """A run of one row merges into an earlier result, in the catalogue's order."""
    rows = [row("a"), row("b"), row("c")]
    latest = report.merged(report.empty(()), measured("b", 1.0), rows)
    latest = report.merged(latest, measured("a", 3.0), rows)
    latest = report.merged(latest, measured("b", 2.0), rows)
    assert [(r["name"], r["ratio"]) for r in latest["rows"]] == [("a", 3.0), ("b", 2.0)]
    assert latest["not_run"] == ["c"]


def test_figures_of_a_busy_machine_never_replace_valid_ones() -> None:
    """They only fill a gap, and a valid figure replaces them."""
    rows = [row("a")]
    latest = report.merged(report.empty(()), measured("a", 1.0, valid=False), rows)
    assert "not valid" in report.table(latest)
    latest = report.merged(latest, measured("a", 2.0), rows)
    latest = report.merged(latest, measured("a", 9.0, valid=False), rows)
    assert latest["rows"][0]["ratio"] == 2.0
    assert "not valid" not in report.table(latest)


def test_each_row_keeps_by_what_and_when_it_was_measured() -> None:
    """A row renewed on another commit changes nothing of what is said of the others."""
    rows = [row("a"), row("b")]
    latest = report.merged(report.empty(()), measured("a", 1.0, commit="old0000"), rows)
    latest = report.merged(latest, measured("b", 1.0, commit="new0000"), rows)
    first, second = report.table(latest).splitlines()[2:4]
    assert "2026-11-23, old0000, 2 × one of two" in first
    assert "new0000" in second
    assert "old0000" not in second
    assert set(machine.provenance()) == {"commit", "machine", "versions"}


def test_what_the_ratio_leaves_out_stands_beside_it() -> None:
    """A detail of one side only is held against the other side's own value."""
    rows = [row("a")]
    plain = report.merged(report.empty(()), measured("a", 3.0), rows)
    assert report.beside(plain) == ""
    latest = report.merged(plain, measured("a", 3.0, beside=("distinct_per_s",)), rows)
    assert "| `a` | distinct_per_s | 1.5 | 1 | 1.5 |" in report.beside(latest)
    assert report.beside(latest) in report.with_table(
        f"{report.TABLE_BEGIN}{report.TABLE_END}", latest
    )


def test_table_says_what_the_name_does_not() -> None:
    """A row's note stands with its name, and how many pairs there were beside the ratio."""
    rows = [row("a")]
    noted = report.merged(report.empty(()), measured("a", 3.0, note="not the pipeline"), rows)
    assert "| `a`: not the pipeline | **3** | 3 to 3 | 1 |" in report.table(noted)


def test_rows_of_other_code_are_named() -> None:
    """The present commit is no other code; an unknown one and uncommitted changes may be."""
    rows = [row("a"), row("b")]
    latest = report.merged(report.empty(()), measured("a", 1.0, commit="old0000"), rows)
    latest = report.merged(latest, measured("b", 1.0, commit="new0000"), rows)
    said = report.of_other_code(latest, lambda commit: commit == "old0000")
    assert said.endswith(": a (old0000)")
    assert report.of_other_code(latest, lambda _: False) == ""
    assert machine.has_changed_since("0000000")
    assert machine.has_changed_since("HEAD+")


def test_no_link_to_a_result_that_is_not_there() -> None:
    """Until a row was measured there is no latest.json to go to; then there is."""
    page = f"{report.TABLE_BEGIN}{report.TABLE_END}"
    without = report.with_table(page, report.empty(["a"]))
    assert "](latest.json)" not in without
    assert "No row has been measured yet" in without
    latest = report.merged(report.empty(()), measured("a", 1.0), [row("a")])
    assert "](latest.json)" in report.with_table(without, latest)


def test_page_is_that_of_the_committed_result() -> None:
    """The tables of the page are those that latest.json, or its absence, gives."""
    page = bench.PAGE.read_text(encoding="utf-8")
    latest = report.read(bench.LATEST)
    shown = latest if latest["rows"] else report.empty(each.name for each in ROWS)
    assert report.with_table(page, shown) == page
    links = set(re.findall(r"\]\(([^)#:]+)\)", page))
    assert [link for link in links if not (bench.PAGE.parent / link).exists()] == []


def test_result_survives_writing_and_reading(tmp_path: Path) -> None:
    """What is read is what was written; before the first run nothing is there."""
    path = tmp_path / "benchmarks" / "latest.json"
    assert report.read(path)["rows"] == []
    latest = report.merged(report.empty(()), measured("a", 0.5), [row("a"), row("b")])
    report.write(path, latest)
    assert report.read(path) == latest


def test_table_shows_missed_and_not_run() -> None:
    """Neither is left out, and the page around the table stays."""
    latest = report.merged(report.empty(()), measured("a", 0.5), [row("a"), row("b")])
    page = f"before\n{report.TABLE_BEGIN}\nold\n{report.TABLE_END}\nafter\n"
    renewed = report.with_table(page, latest)
    assert "MISSED" in renewed
    assert "| `b` | not run |" in renewed
    assert "old" not in renewed
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert report.with_table(renewed, latest) == renewed


def test_foreign_share_is_what_others_used_of_one_processor() -> None:
    """Our own time is not foreign, and the two clocks' rounding never makes it negative."""
    before = foreign_load.Usage(at=100.0, machine=50.0, own=5.0)
    after = foreign_load.Usage(at=110.0, machine=62.0, own=11.0)
    assert after.foreign_since(before) == pytest.approx(0.6)
    rounded = foreign_load.Usage(at=110.0, machine=52.0, own=7.1)
    assert rounded.foreign_since(before) == 0.0


def test_refused_only_above_the_limit() -> None:
    """Half a processor is the most that others may use."""
    foreign_load.refuse_if_busy(0.5, "before")
    with pytest.raises(foreign_load.BusyMachineError, match="51%"):
        foreign_load.refuse_if_busy(0.51, "before")


def test_busy_machine_gives_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is measured and nothing written; ``allow_load`` measures and marks it."""
    monkeypatch.setattr(foreign_load, "measure_before", lambda: 0.9)
    output = tmp_path / "latest.json"
    one = Row(ROWS[0].name, "", "", "", lambda _: Figure(3.0), lambda _: Figure(2.0))
    assert run_row.run_row(one, Session(tmp_path), output) == run_row.BUSY
    assert not output.exists()
    assert "90%" in capsys.readouterr().out
    run_row.run_row(one, Session(tmp_path, foreign_max=float("inf")), output)
    kept = report.read(output)["rows"][0]
    assert (kept["ratio"], kept["valid"]) == (1.5, False)


def test_names_of_rows_are_unique() -> None:
    """Each row has a name of its own, and who reaches its goal reaches its must."""
    assert len({r.name for r in ROWS}) == len(ROWS)
    for each in ROWS:
        if each.must is not None:
            assert each.goal is not None
            assert each.goal <= each.must if each.lower_is_better else each.goal >= each.must


@pytest.mark.parametrize("load", [Load(3_000, 40), Load(3_000, 40, duplicates=0.2, late=0.05)])
def test_peers_fold_comes_to_the_expected_states(load: Load) -> None:
    """The fold and the computation with sets agree, with duplicates and late events too."""
    records = list(load.records())
    assert records == list(load.records())
    states: dict[bytes, bytes] = {}
    unchanged = 0
    for key, event in records:
        after = fold(states.get(key), event)
        unchanged += after is None
        states[key] = after or states[key]
    assert states == expected_states(records)
    repeated = len(records) - len(set(records))
    assert unchanged == repeated
    assert (repeated > 0) == (load.duplicates > 0)
    assert digest(states) != digest(states | {records[0][0]: b""})
