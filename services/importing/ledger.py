"""What became of every row, written so that kill -9 at any moment loses no count (导入台账).

Rows are settled in the order of the file. The checkpoint says how many rows are settled, what came
of them, and how long the rejects and receipts files were at that moment. A resumed import cuts the
files back to that length and goes on with the next row: rows sent but not yet settled are sent
again, which has no second effect.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated

from google.protobuf.json_format import MessageToDict
from market_supervision.intake.v1.intake_pb2 import Receipt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.contracts.labels import Label
from services.importing.errors import CheckpointMismatchError, RowProblem
from services.importing.rejects_format import REJECT_COLUMNS, reject_cells
from services.importing.rows import Row

FORMAT = 2
REASONS_MAX = 200
"""Different reasons that are counted by themselves; the others are counted together."""
OTHER_REASONS = "other reasons (其他原因)"

Count = Annotated[int, Field(ge=0)]


class Identity(BaseModel):
    """What an import is of: the same identity gives the same rows and events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_name: str
    file_sha256: str
    target: str
    """Profile or family, with the digest of the profile's files."""


class Tally(BaseModel):
    """Counts of settled rows: accepted + rejected = settled."""

    model_config = ConfigDict(extra="forbid")

    settled: Count = 0
    accepted: Count = 0
    rejected: Count = 0
    accepted_by_family: dict[str, Count] = Field(default_factory=dict)
    rejected_by_reason: dict[str, Count] = Field(default_factory=dict)


class _Checkpoint(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    identity: Identity
    tally: Tally
    rejects_bytes: Count
    receipts_bytes: Count
    receipts_path: str | None = None
    """Where the receipts of the settled rows are; None: they were only counted."""


class _AppendFile:
    """A file of which only a known length counts."""

    def __init__(self, path: Path, length: int, head: bytes) -> None:
        self.path = path
        path.touch()
        self._stream: IO[bytes] = path.open("r+b")
        self._stream.truncate(length)
        self._stream.seek(0, os.SEEK_END)
        if self._stream.tell() == 0:
            self._stream.write(head)
        self._head_bytes = len(head)

    def append(self, data: bytes) -> None:
        self._stream.write(data)

    def sync(self) -> int:
        """Make it durable; return its length in bytes."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self, *, remove_if_empty: bool) -> None:
        self._stream.flush()
        is_empty = self._stream.tell() <= self._head_bytes
        self._stream.close()
        if is_empty and remove_if_empty:
            self.path.unlink()


class LedgerPaths:
    """Names of the files an import leaves, in one folder."""

    def __init__(self, folder: Path, file_name: str, receipts: Path | None) -> None:
        self.rejects = folder / f"{file_name}.rejects.csv"
        self.checkpoint = folder / f"{file_name}.checkpoint.json"
        self.receipts = receipts


class Ledger:
    """The open ledger of one import. One process at a time."""

    def __init__(
        self, paths: LedgerPaths, identity: Identity, columns: Sequence[str], *, restart: bool
    ) -> None:
        self._paths = paths
        self._identity = identity
        self._columns = tuple(columns)
        paths.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        found = None if restart else _read_checkpoint(paths.checkpoint, identity)
        if found is not None:
            _check_files(found, paths)
        self.tally = found.tally if found else Tally()
        self.resumed_at = self.tally.settled
        if found is None:
            # An earlier rejects file may be half mended: it is never overwritten.
            _set_aside(paths.rejects)
        header = _csv_line([*REJECT_COLUMNS, *self._columns])
        self._rejects = _AppendFile(
            paths.rejects, found.rejects_bytes if found else 0, "\ufeff".encode() + header
        )
        self._receipts = (
            _AppendFile(paths.receipts, found.receipts_bytes if found else 0, b"")
            if paths.receipts is not None
            else None
        )

    def accept(self, row: Row, family: str, receipt: Receipt) -> None:
        """Settle a row whose event is on the log."""
        self.tally.settled += 1
        self.tally.accepted += 1
        by_family = self.tally.accepted_by_family
        by_family[family] = by_family.get(family, 0) + 1
        if self._receipts is not None:
            document = {"row": row.number, "family": family, "receipt": MessageToDict(receipt)}
            self._receipts.append(json.dumps(document).encode() + b"\n")

    def reject(self, row: Row, problems: Sequence[RowProblem]) -> None:
        """Settle a row that was refused."""
        self.tally.settled += 1
        self.tally.rejected += 1
        self._rejects.append(
            _csv_line(reject_cells(self._identity.file_name, row, problems, self._columns))
        )
        by_reason = self.tally.rejected_by_reason
        reason = f"{problems[0].column}: {problems[0].reason.en} ({problems[0].reason.zh})"
        if reason not in by_reason and len(by_reason) >= REASONS_MAX:
            reason = OTHER_REASONS
        by_reason[reason] = by_reason.get(reason, 0) + 1

    def save(self) -> None:
        """Make everything settled so far durable; files first, then what counts of them."""
        checkpoint = _Checkpoint(
            identity=self._identity,
            tally=self.tally,
            rejects_bytes=self._rejects.sync(),
            receipts_bytes=self._receipts.sync() if self._receipts is not None else 0,
            receipts_path=_absolute(self._paths.receipts),
        )
        partial = self._paths.checkpoint.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(checkpoint.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._paths.checkpoint)

    def close(self, *, complete: bool) -> None:
        """Save and close; a complete import needs no checkpoint and no empty rejects file."""
        self.save()
        self._rejects.close(remove_if_empty=complete)
        if self._receipts is not None:
            self._receipts.close(remove_if_empty=False)
        if complete:
            self._paths.checkpoint.unlink()


def _check_files(found: _Checkpoint, paths: LedgerPaths) -> None:
    if found.receipts_path != _absolute(paths.receipts):
        raise _mismatch(
            paths.checkpoint,
            f"the receipts of the rows so far are in {found.receipts_path}",
            f"已完成各行的回执在 {found.receipts_path}",
        )
    lengths = [(paths.rejects, found.rejects_bytes)]
    if paths.receipts is not None:
        lengths.append((paths.receipts, found.receipts_bytes))
    for path, length in lengths:
        size = path.stat().st_size if path.exists() else 0
        if size < length:
            # Made longer, it would hold zeros where rows stood: they could not be told again.
            raise _mismatch(
                path,
                f"the file has {size} bytes, {length} were written",
                f"文件为{size}字节, 应有{length}字节",
            )


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    # A lone surrogate of a JSON escape is text to Python and to no file: it is shown as its escape.
    return line.getvalue().encode(errors="backslashreplace")


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    number = 1
    while (older := path.with_name(f"{path.stem}.{number}.csv")).exists():
        number += 1
    path.rename(older)


def _read_checkpoint(path: Path, identity: Identity) -> _Checkpoint | None:
    if not path.exists():
        return None
    try:
        found = _Checkpoint.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise _mismatch(path, "the checkpoint cannot be read", "检查点无法读取") from error
    if found.format != FORMAT:
        raise _mismatch(path, "it has another format", "格式版本不同")
    if found.identity != identity:
        raise _mismatch(
            path,
            "the file, the profile or the family is not the one that was begun",
            "文件、导入配置或类别与已开始的导入不一致",
        )
    return found


def _mismatch(path: Path, english: str, chinese: str) -> CheckpointMismatchError:
    return CheckpointMismatchError(
        Label(
            f"无法从 {path} 继续: {chinese}; 如需重新开始, 请加 --restart",
            f"cannot resume from {path}: {english}; begin again with --restart",
        )
    )
