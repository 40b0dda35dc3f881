"""Rows that take long: what is kept between runs, what is told, what fits, who judges them."""

import subprocess
import sys
from pathlib import Path

import pytest

from integration_tests.performance import bench, kept, run_row
from integration_tests.performance.catalogue import ROWS
from integration_tests.performance.foreign_load import BusyMachineError
from integration_tests.performance.growth_run import Size, size_of
from integration_tests.performance.kept import Kept
from integration_tests.performance.limit import Limit
from integration_tests.performance.row import FOREIGN, Figure, Row, run_pairs, summarise
from integration_tests.performance.rows import growth
from integration_tests.performance.session import Session
from integration_tests.performance.shown import EVERY_SECONDS, Shown


def size(entities: int, held: float, in_redis: float, foreign: float = 0.0) -> dict[str, float]:
    """What is kept of a measured size."""
    costs = {"cpu_us_per_event": 400.0, "recovery_us_per_record": 9.0, "state_records": 5}
    rest = {"all_processes_gib": 2.0, "events_per_s": 900.0, "disk_gib": 1.0, "minutes": 1.0}
    rest |= {f"{name}_gib": 0.5 for name in ("worker", "projection", "redis", "broker")}
    memory = {"bytes_held": held, "bytes_in_redis": in_redis}
    return {"entities": entities, **costs, **memory, **rest, "foreign": foreign}


def test_what_was_made_is_there_in_the_next_run(tmp_path: Path) -> None:
    """Made once by a commit; another commit, or changes without one, begin anew."""
    file = tmp_path / "kept.json"
    assert Kept(file, "abc").once("log", lambda: {"prefix": "p."}) == {"prefix": "p."}
    again = Kept(file, "abc")
    assert again.has("log")
    assert again.once("log", lambda: pytest.fail("made twice")) == {"prefix": "p."}
    assert kept.is_of(file, "abc")
    assert not kept.is_of(file, "def")
    assert not kept.is_of(tmp_path / "other.json", "abc")
    again.forget("log")
    assert not Kept(file, "abc").has("log")
    Kept(file, "abc+").once("log", dict)
    assert not kept.is_of(file, "abc+")


def test_nothing_is_kept_of_what_failed(tmp_path: Path) -> None:
    """The next run makes it again."""
    store = Kept(tmp_path / "kept.json", "abc")
    with pytest.raises(ZeroDivisionError):
        store.once("size", lambda: {"ratio": 1 / 0})
    assert not store.has("size")


def test_progress_is_told_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """A line every ten seconds at most, with the time to go."""
    clock = iter([0.0, 1.0, *(EVERY_SECONDS + more for more in range(5))])
    shown = Shown("events", 1_200, lambda: next(clock))
    for done in (10, 100, 110, 1_200, 1_203):
        shown.at(done)
    assert capsys.readouterr().out.splitlines() == [
        "  events: 100 of 1,200 after 10 s, about 2 min to go",
        "  events: 1,200 of 1,200 after 12 s",
    ]


def test_no_row_begins_that_would_end_too_late() -> None:
    """A shorter one is taken where a longer one does not fit; one run of the system counts once."""
    now = 0.0
    limit = Limit(10.0, lambda: now)
    long, short = (
        Row(name, "", "", "", lambda _: Figure(1.0), lambda _: Figure(1.0), minutes=minutes)
        for name, minutes in (("long", 6.0), ("short", 3.0))
    )
    assert limit.has_room_for(long)
    now = 5 * 60.0
    assert not limit.has_room_for(long)
    assert limit.has_room_for(short)
    now = 8 * 60.0
    assert not limit.has_room_for(short)
    of_growth = Limit(growth.MINUTES, lambda: 0.0)
    assert all(of_growth.has_room_for(row) for row in growth.ROWS)
    assert not Limit(growth.MINUTES - 1, lambda: 0.0).has_room_for(growth.ROWS[0])


def test_the_rows_of_a_default_run_fit_into_its_time() -> None:
    """By their usual times; none of them needs data that is kept."""
    by_default = [row for row in ROWS if row.by_default]
    assert sum(row.minutes for row in by_default) <= bench.DEFAULT_MINUTES
    assert not any(row.is_long for row in by_default)


def test_a_kept_size_counts_with_the_load_of_its_own_time(tmp_path: Path) -> None:
    """A size measured beside others gives no row a figure, and is measured anew next time."""
    session = Session(tmp_path)
    session.kept.once("growth size 10", lambda: size(10, 100, 50, foreign=0.9))
    with pytest.raises(BusyMachineError, match="90%"):
        size_of(session, 10)
    assert not session.kept.has("growth size 10")
    session.kept.once("growth size 10", lambda: size(10, 100, 50, foreign=0.3))
    assert size_of(session, 10) == Size(**size(10, 100, 50, foreign=0.3))  # type: ignore[arg-type]


def test_one_half_of_a_pair_under_load_counts_for_the_row(tmp_path: Path) -> None:
    """The highest counts; a figure that tells the load of its own time is taken at its word."""
    calm, busy = Figure(2.0, {FOREIGN: 0.1}), Figure(1.0, {FOREIGN: 0.8})
    assert run_row.foreign_of(summarise([(calm, calm), (calm, busy), (calm, calm)])) == 0.8
    row = Row("r", "", "", "", lambda _: busy, lambda _: Figure(1.0))
    ((ours, theirs),) = run_pairs(row, Session(tmp_path, part=2)).pairs
    assert ours.details[FOREIGN] == 0.8
    assert theirs.details[FOREIGN] == 0.0


def test_memory_of_an_entity_is_what_each_more_adds(tmp_path: Path) -> None:
    """Caches that are full at 100,000 entities do not make the growth look small."""
    session = Session(tmp_path)
    caches = 200e6
    for entities in (growth.FEW, growth.BETWEEN, growth.MANY):
        of_size = size(entities, caches + entities * 3_000, entities * 2_000)
        session.kept.once(f"growth size {entities}", of_size.copy)
    row = next(row for row in growth.ROWS if row.name == "growth_memory_per_entity")
    assert run_pairs(row, session).ratio == pytest.approx(1.5)


def test_no_row_begins_without_room_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how much it may need and writes nothing."""
    row = Row("r", "", "", "", lambda _: Figure(1.0), lambda _: Figure(1.0), disk_gib=1 << 30)
    output = tmp_path / "latest.json"
    assert run_row.run_row(row, Session(tmp_path), output) == run_row.FAILED
    assert "are free on disk" in capsys.readouterr().out
    assert not output.exists()


def test_the_judge_of_the_peers_log_knows_neither_engine_nor_fold() -> None:
    """What it imports, straight or through others, has nothing of what it judges."""
    script = (
        "import sys; from integration_tests.performance import peer_reference as r; "
        "print([m for m in sys.modules if m.startswith('services')], hasattr(r, 'fold'))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[] False"
