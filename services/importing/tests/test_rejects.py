"""A rejects file says what is wrong and is taken back like the file it came from."""

from pathlib import Path

import pytest
from market_supervision.intake.v1.intake_pb2 import Receipt

from services.contracts.labels import Label
from services.importing.errors import CheckpointMismatchError, RowProblem
from services.importing.ledger import Identity, Ledger, LedgerPaths, Tally
from services.importing.readers import open_reader
from services.importing.rows import Row

PROBLEM = RowProblem("名称", "坏", Label("不对", "wrong"))
IDENTITY = Identity(file_name="a.csv", file_sha256="0", target="t")


def ledger(folder: Path, *, restart: bool = False, identity: Identity = IDENTITY) -> Ledger:
    """Open a ledger with two columns."""
    paths = LedgerPaths(folder, "a.csv", folder / "receipts.jsonl")
    return Ledger(paths, identity, ("名称", "编号"), restart=restart)


def row(number: int, name: str = "甲") -> Row:
    """Return a row of those columns."""
    original = {"名称": name, "编号": str(number)}
    return Row(number, original, original)


def crash(book: Ledger) -> None:
    """Leave the files as kill -9 does: written, but nothing saved."""
    for file in (book._rejects, book._receipts):
        if file is not None:
            file.sync()
            file._stream.close()


def rejected_rows(folder: Path) -> list[dict[str, str]]:
    """Read the rejects file as an import would."""
    return [dict(found.values) for found in open_reader(folder / "a.csv.rejects.csv").rows()]


@pytest.mark.parametrize("name", ["=1+1", "+86", "-5", "@x", "'quoted", '逗号,"引号"\n换行', "㙟"])
def test_rejects_file_gives_the_original_back_and_no_formula(tmp_path: Path, name: str) -> None:
    """What a spreadsheet would run is disarmed in the file, and read back as it was."""
    book = ledger(tmp_path)
    book.reject(row(2, name), [PROBLEM])
    book.close(complete=True)
    text = (tmp_path / "a.csv.rejects.csv").read_text(encoding="utf-8-sig")
    assert text.startswith("reject.file,reject.row,reject.column,reject.value,reject.reason_en")
    assert all(not cell.startswith(("=", "+", "@")) for cell in text.split(","))
    assert rejected_rows(tmp_path) == [{"名称": name, "编号": "2"}]


def test_rejects_file_of_json_lines_holds_the_line_and_reads_as_json(tmp_path: Path) -> None:
    """A nested record keeps its types through the rejects file."""
    line = '{"a": {"b": 1.0}, "c": null}'
    paths = LedgerPaths(tmp_path, "a.jsonl", None)
    book = Ledger(paths, IDENTITY, ("record",), restart=False)
    book.reject(Row(7, {}, {"record": line}), [PROBLEM])
    book.close(complete=True)
    reader = open_reader(paths.rejects)
    assert reader.columns == ("record",)
    assert [dict(found.values) for found in reader.rows()] == [{"a": {"b": 1.0}, "c": None}]


def test_rejects_file_stays_away_when_nothing_was_refused(tmp_path: Path) -> None:
    """A complete import without rejects leaves no rejects file and no checkpoint."""
    book = ledger(tmp_path)
    book.accept(row(2), "registration", Receipt(offset=1))
    book.close(complete=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["receipts.jsonl"]


def test_ledger_resumed_after_a_crash_forgets_what_was_not_saved(tmp_path: Path) -> None:
    """Rows written after the last checkpoint are cut off and come again: counts stay exact."""
    crashed = ledger(tmp_path)
    crashed.reject(row(2), [PROBLEM])
    crashed.accept(row(3), "registration", Receipt(offset=1))
    crashed.save()
    crashed.reject(row(4), [PROBLEM])
    crashed.accept(row(5), "registration", Receipt(offset=2))
    crash(crashed)

    resumed = ledger(tmp_path)
    assert resumed.resumed_at == 2
    resumed.reject(row(4), [PROBLEM])
    resumed.accept(row(5), "complaints", Receipt(offset=2))
    resumed.close(complete=True)
    assert resumed.tally == Tally(
        settled=4,
        accepted=2,
        rejected=2,
        accepted_by_family={"registration": 1, "complaints": 1},
        rejected_by_reason={"名称: wrong (不对)": 2},
    )
    assert [found["编号"] for found in rejected_rows(tmp_path)] == ["2", "4"]
    assert len((tmp_path / "receipts.jsonl").read_text().splitlines()) == 2


def test_ledger_of_another_file_is_refused_unless_begun_again(tmp_path: Path) -> None:
    """A checkpoint is never applied to a file that changed."""
    first = ledger(tmp_path)
    first.reject(row(2), [PROBLEM])
    first.save()
    crash(first)
    changed = IDENTITY.model_copy(update={"file_sha256": "1"})
    with pytest.raises(CheckpointMismatchError, match="--restart"):
        ledger(tmp_path, identity=changed)
    again = ledger(tmp_path, identity=changed, restart=True)
    assert again.resumed_at == 0
    again.close(complete=True)


@pytest.mark.parametrize("name", ["a.csv.rejects.csv", "receipts.jsonl"])
def test_ledger_whose_file_lost_bytes_is_not_resumed(tmp_path: Path, name: str) -> None:
    """A file shorter than recorded is never filled up with zeros."""
    first = ledger(tmp_path)
    first.reject(row(2), [PROBLEM])
    first.accept(row(3), "registration", Receipt(offset=1))
    first.save()
    crash(first)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointMismatchError, match="0 bytes"):
        ledger(tmp_path)
    assert (tmp_path / name).read_bytes() == b""


@pytest.mark.parametrize("receipts", [None, "elsewhere.jsonl"])
def test_ledger_with_its_receipts_elsewhere_is_not_resumed(
    tmp_path: Path, receipts: str | None
) -> None:
    """Receipts of one import stand in one file, all of them."""
    first = ledger(tmp_path)
    first.accept(row(2), "registration", Receipt(offset=1))
    first.save()
    crash(first)
    paths = LedgerPaths(tmp_path, "a.csv", tmp_path / receipts if receipts else None)
    with pytest.raises(CheckpointMismatchError, match=r"receipts\.jsonl"):
        Ledger(paths, IDENTITY, ("名称", "编号"), restart=False)


def test_rejects_file_of_an_earlier_run_is_set_aside_not_overwritten(tmp_path: Path) -> None:
    """Somebody may be mending it."""
    for number in (2, 3, 4):
        book = ledger(tmp_path)
        book.reject(row(number), [PROBLEM])
        book.close(complete=True)
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == ["a.csv.rejects.1.csv", "a.csv.rejects.2.csv", "a.csv.rejects.csv"]
    assert [found["编号"] for found in rejected_rows(tmp_path)] == ["4"]


def test_many_different_reasons_are_counted_within_a_bound(tmp_path: Path) -> None:
    """Reasons that quote values cannot make the checkpoint grow without end."""
    book = ledger(tmp_path)
    for number in range(300):
        reason = Label(str(number), str(number))
        book.reject(row(number), [RowProblem("a", "", reason)])
    book.close(complete=True)
    assert len(book.tally.rejected_by_reason) == 201
    assert sum(book.tally.rejected_by_reason.values()) == 300
