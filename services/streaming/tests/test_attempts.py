"""The file that names what is being tried, and what follows from what a dead process left in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.streaming.attempts import (
    DEATHS_MAX,
    PART_RECORDS,
    Attempt,
    AttemptJournal,
    Seal,
    Suspicion,
)
from services.streaming.exits import ExitCode
from services.streaming.interface import SourceRecord
from services.streaming.meta import Applied

TRY = Attempt("events", 41, 7, 0, alone=False)
ALONE = Attempt("events", 41, 3, 2, alone=True)

Open = Callable[..., AttemptJournal]


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Open]:
    """Return an opener of the same file again and again, as successive processes do."""
    opened: list[AttemptJournal] = []

    def again(owner: str = "id/7", seal: Seal | None = None) -> AttemptJournal:
        opened.append(AttemptJournal(tmp_path / "p.try", owner, seal or Seal()))
        return opened[-1]

    yield again
    for journal in opened:
        journal.close()


def record(offset: int, topic: str = "events") -> SourceRecord:
    """Return a record of partition 7."""
    return SourceRecord(topic, 7, offset, 0, b"k", b"v", ())


@pytest.mark.parametrize("attempt", [TRY, ALONE, Attempt("t" * 200, 1 << 62, 1, 0, alone=True)])
def test_try_is_read_by_the_next_process(open_journal: Open, attempt: Attempt) -> None:
    """What was begun and did not return is known afterwards, and only that."""
    first = open_journal()
    assert first.left() is None
    first.begin(attempt)
    assert open_journal().left() == attempt
    first.succeed()
    assert open_journal().left() is None


def test_longer_try_before_does_not_show_through_a_shorter_one(open_journal: Open) -> None:
    """The file is written over in place."""
    journal = open_journal()
    journal.begin(Attempt("a-topic-with-a-long-name", 9, 900, 1, alone=False))
    journal.begin(Attempt("t", 1, 1, 0, alone=True))
    assert open_journal().left() == Attempt("t", 1, 1, 0, alone=True)


@pytest.mark.parametrize("length", range(32))
def test_torn_file_counts_as_empty(open_journal: Open, tmp_path: Path, length: int) -> None:
    """A power failure may leave any part of it, with zeros or nothing behind."""
    open_journal().begin(TRY)
    whole = (tmp_path / "p.try").read_bytes()
    assert len(whole) > length
    for torn in (whole[:length], whole[:length] + bytes(len(whole) - length)):
        (tmp_path / "p.try").write_bytes(torn)
        assert open_journal().left() is None or torn == whole


def test_try_under_another_changelog_is_none(open_journal: Open) -> None:
    """A changelog made anew begins its sources from nothing: offsets say something else."""
    open_journal().begin(TRY)
    assert open_journal("other/7").left() is None


@pytest.mark.parametrize(
    ("code", "blamed"),
    [
        (ExitCode.STEP_FAILED, True),
        (ExitCode.WATCHDOG, True),
        (ExitCode.UNIT_TIMEOUT, True),
        (ExitCode.FENCED, False),
        (ExitCode.COMMIT_FAILED, False),
    ],
)
def test_exit_for_another_reason_speaks_against_no_record(
    open_journal: Open, code: ExitCode, *, blamed: bool
) -> None:
    """A worker that is fenced while its step runs leaves no try; nor does what begins later."""
    seal = Seal()
    journal, other = open_journal(seal=seal), open_journal("id/8", seal)
    journal.begin(TRY)
    seal.absolve(code, [journal])
    assert (open_journal().left() == TRY) is blamed
    other.begin(TRY)
    assert open_journal("id/8").left() is None


@pytest.mark.parametrize("deaths", [1, 3])
def test_exit_for_another_reason_leaves_earlier_deaths_known(
    open_journal: Open, deaths: int
) -> None:
    """The try it interrupts counts for nothing; those that killed before it still do."""
    seal = Seal()
    journal = open_journal(seal=seal)
    journal.begin(Attempt("events", 41, 7, deaths, alone=True))
    seal.absolve(ExitCode.FENCED, [journal])
    assert Suspicion(open_journal().left(), {}).deaths(record(41)) == deaths


def test_record_that_failed_is_the_only_one_blamed(tmp_path: Path) -> None:
    """Between a step that raised and the exit, the thread may begin another partition's step."""
    seal = Seal()
    guilty = AttemptJournal(tmp_path / "1.try", "id/1", seal)
    innocent = AttemptJournal(tmp_path / "2.try", "id/2", seal)
    guilty.begin(TRY)
    guilty.fail()
    innocent.begin(TRY)
    seal.absolve(ExitCode.STEP_FAILED, [guilty, innocent])
    assert guilty.left() == TRY
    assert innocent.left() is None
    guilty.close()
    innocent.close()


def test_death_among_others_is_followed_by_units_of_one() -> None:
    """Nobody knows which of them it was, so none has a death yet."""
    suspicion = Suspicion(TRY, {"events": Applied(41, 0)})
    assert suspicion.suspects == 7
    assert suspicion.deaths(record(41)) == 0
    assert suspicion.attempt(record(41), 1) == Attempt("events", 41, 7, 0, alone=True)
    suspicion.passed([record(41)])
    assert suspicion.limit(500) == 1
    assert suspicion.attempt(record(42), 1) == Attempt("events", 42, 6, 0, alone=True)
    suspicion.passed([record(offset) for offset in range(42, 48)])
    assert (suspicion.suspects, suspicion.limit(500)) == (0, 500)
    assert suspicion.attempt(record(48), 5) == Attempt("events", 48, 5, 0, alone=False)


def test_death_alone_is_counted_for_that_record_only() -> None:
    """The ones behind it stay suspects without a death."""
    suspicion = Suspicion(ALONE, {"events": Applied(41, 0)})
    assert suspicion.deaths(record(41)) == 3
    assert suspicion.deaths(record(41, "control")) == 0
    assert suspicion.suspects == 3
    suspicion.passed([record(41)])
    assert suspicion.attempt(record(42), 1) == Attempt("events", 42, 2, 0, alone=True)


def test_death_alone_is_tried_alone_again_however_many_are_behind_it() -> None:
    """Only then are the others tried, in parts."""
    left = Attempt("events", 41, 900, 0, alone=True)
    suspicion = Suspicion(left, {"events": Applied(41, 0)})
    assert (suspicion.limit(8_000), suspicion.deaths(record(41))) == (1, 1)
    suspicion.passed([record(40, "control")])
    assert (suspicion.limit(8_000), suspicion.deaths(record(41))) == (1, 1)
    suspicion.passed([record(41)])
    assert suspicion.limit(8_000) == PART_RECORDS
    assert suspicion.limit(7) == 7


def lives(records: int, poison: int | None) -> tuple[int, int]:
    """Return deaths and units until all records are applied, the first unit having been killed.

    Every process takes as many as it may; it dies of the poison until that would be put aside.
    """
    left: Attempt | None = Attempt("events", 0, records, 0, alone=False)
    position, deaths, units = 0, 1, 0
    while position < records:
        suspicion = Suspicion(left, {"events": Applied(position, 0)})
        while position < records:
            taken = [record(position + n) for n in range(suspicion.limit(records))]
            taken = [each for each in taken if each.offset < records]
            left = suspicion.attempt(taken[0], len(taken))
            if poison in {each.offset for each in taken} and left.deaths < DEATHS_MAX:
                deaths += 1
                break
            units += 1
            suspicion.passed(taken)
            position += len(taken)
    return deaths, units


def test_innocent_death_in_a_large_unit_costs_few_small_ones() -> None:
    """A transaction for each of 8,000 records took more than a minute."""
    assert lives(8_000, None) == (1, 80)
    assert lives(PART_RECORDS, None) == (1, PART_RECORDS)


@pytest.mark.parametrize("poison", [0, 1, 99, 100, 4_321, 7_900, 7_999])
def test_poison_in_a_large_unit_is_found_by_one_death_more(poison: int) -> None:
    """One among all, one in its part, three alone; wherever it stands."""
    deaths, units = lives(8_000, poison)
    assert deaths == 1 + 1 + DEATHS_MAX
    assert units < 80 + 2 * PART_RECORDS


def test_record_that_another_worker_applied_is_cleared() -> None:
    """What the state contains has succeeded somewhere."""
    suspicion = Suspicion(ALONE, {"events": Applied(42, 0)})
    assert suspicion.suspects == 0
    assert suspicion.deaths(record(41)) == 0


def test_file_is_small_and_private(open_journal: Open, tmp_path: Path) -> None:
    """It holds a place in a topic, not the record, and belongs to the worker's user alone."""
    open_journal().begin(TRY)
    assert (tmp_path / "p.try").stat().st_size < 64
    assert (tmp_path / "p.try").stat().st_mode & 0o077 == 0
