"""The file that names what is being tried, and what follows from what a dead process left in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.streaming.attempts import Attempt, AttemptJournal, Seal, Suspicion
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
    suspicion.passed(1)
    assert suspicion.attempt(record(42), 1) == Attempt("events", 42, 6, 0, alone=True)
    suspicion.passed(6)
    assert suspicion.suspects == 0
    assert suspicion.attempt(record(48), 5) == Attempt("events", 48, 5, 0, alone=False)


def test_death_alone_is_counted_for_that_record_only() -> None:
    """The ones behind it stay suspects without a death."""
    suspicion = Suspicion(ALONE, {"events": Applied(41, 0)})
    assert suspicion.deaths(record(41)) == 3
    assert suspicion.deaths(record(41, "control")) == 0
    assert suspicion.suspects == 3
    suspicion.passed(1)
    assert suspicion.attempt(record(42), 1) == Attempt("events", 42, 2, 0, alone=True)


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
