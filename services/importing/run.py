"""Importing one file: what is needed is found, checked and put together (导入入口)."""

import asyncio
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.contracts.families import FAMILY_BY_NAME, Family
from services.contracts.labels import Label
from services.importing.canonical import parse_row
from services.importing.compiled import CompiledProfile
from services.importing.endpoints import Endpoints
from services.importing.errors import FileUnreadableError, RowProblem, RowRefusedError
from services.importing.ledger import Identity, Ledger, LedgerPaths
from services.importing.mapping import MappedEvent, map_row
from services.importing.profiles import PROFILES_FOLDER, default_profile_name, load_profile
from services.importing.readers import Reader, open_reader
from services.importing.rows import RECORD_COLUMN, Row
from services.importing.session import ImportSession, Progress, Result, ToEvent

PATIENCE_SECONDS: Final = 120.0
"""How long outcomes may stay unknown before an import gives up."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import and how."""

    path: Path
    family: str | None
    """Family of every event; with a profile optional: then rows of other families are refused."""
    profile: str | None
    """None: JSON lines are events in canonical JSON, tables have the family's own headers."""
    folder: Path
    """Where the rejects file and the checkpoint go."""
    sheet: str | None = None
    receipts: Path | None = None
    """File for the receipts, one JSON line a row; None: they are only counted."""
    restart: bool = False
    """Begin again although a checkpoint is there."""
    patience_s: float = PATIENCE_SECONDS
    profiles_folder: Path = PROFILES_FOLDER


def import_file(
    request: ImportRequest, endpoints: Endpoints, on_progress: Callable[[Progress], None]
) -> Result:
    """Import a file, going on where an earlier run of the same import ended.

    Raises ImportingError and DataFileError for what keeps it from beginning; what ends it later is
    in the result.
    """
    reader = open_reader(request.path, sheet=request.sheet)
    to_event, target = _target(request, reader)
    identity = Identity(
        file_name=request.path.name, file_sha256=_digest([request.path]), target=target
    )
    rows = reader.count()
    paths = LedgerPaths(request.folder, request.path.name, request.receipts)
    with _alone(request):
        ledger = Ledger(paths, identity, reader.columns, restart=request.restart)
        session = ImportSession(reader, to_event, ledger, on_progress=on_progress, rows=rows)
        return asyncio.run(session.run(endpoints, patience_s=request.patience_s))


@contextmanager
def _alone(request: ImportRequest) -> Iterator[None]:
    """Keep a second import of the same file away from the same rejects file and checkpoint."""
    request.folder.mkdir(parents=True, exist_ok=True)
    with (request.folder / f".{request.path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileUnreadableError(
                Label(
                    f"另一个进程正在导入 {request.path.name}",
                    f"another process is importing {request.path.name}",
                )
            ) from error
        yield


def _target(request: ImportRequest, reader: Reader) -> tuple[ToEvent, str]:
    """Return how a row becomes an event, and the text that names this way in the checkpoint."""
    family = None
    if request.family is not None:
        family = FAMILY_BY_NAME.get(request.family)
        if family is None:
            known = ", ".join(FAMILY_BY_NAME)
            raise FileUnreadableError(
                Label(
                    f"没有类别 {request.family}, 可用: {known}",
                    f"no family {request.family}; there are {known}",
                )
            )
    is_json = reader.columns == (RECORD_COLUMN,)
    name = request.profile
    if name is None:
        if family is None:
            raise FileUnreadableError(
                Label("请用 --family 或 --profile 指明类别", "give --family or --profile")
            )
        if is_json:
            canonical = family
            return (lambda row: parse_row(canonical, row)), f"canonical {family.name}"
        name = default_profile_name(family.name)
    profile = load_profile(name, request.profiles_folder)
    if not is_json:
        _check_header(profile, reader)
    target = f"profile {name} {_digest(profile.files)} {family.name if family else 'any'}"
    return (lambda row: _map(profile, family, row)), target


def _map(profile: CompiledProfile, family: Family | None, row: Row) -> MappedEvent:
    mapped = map_row(profile, row)
    if family is not None and mapped.family is not family:
        reason = Label(
            f"该行属于{mapped.family.label.zh}, 不属于{family.label.zh}",
            f"the row belongs to {mapped.family.name}, not to {family.name}",
        )
        raise RowRefusedError((RowProblem("-", "", reason),))
    return mapped


def _check_header(profile: CompiledProfile, reader: Reader) -> None:
    if profile.known_columns is None:
        return
    unknown = [column for column in reader.columns if column not in profile.known_columns]
    if unknown:
        named = ", ".join(unknown)
        raise FileUnreadableError(
            Label(
                f"表头有未知列 ({named}); 导入配置{profile.name}可用的列见其文件",
                f"unknown columns in the header ({named}); the profile {profile.name} lists "
                "those it reads",
            )
        )


def _digest(paths: tuple[Path, ...] | list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
