"""A directory that one run owns at a time, and in which the next run finds what was left behind."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.local.errors import AlreadyRunningError
from services.local.process import end_orphans

LOCK_NAME = ".lock"


@contextmanager
def owned_run_directory(path: Path) -> Iterator[list[str]]:
    """Own ``path`` while the block runs; yield the names of the orphans that were ended first.

    Data found there is kept. The lock goes with this process however it ends, so a run killed with
    -9 leaves processes, but never a lock. Raises AlreadyRunningError while another run is alive.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another run is using {path} (已有另一个运行实例正在使用该目录)"
            raise AlreadyRunningError(message) from error
        yield end_orphans(path)
    finally:
        os.close(descriptor)


def remove_abandoned(parent: Path) -> list[Path]:
    """Remove every run directory below ``parent`` whose owner is gone, ending what it left running.

    Those in use are not touched. Returns what was removed.
    """
    removed = []
    for path in sorted(parent.glob("*/")):
        try:
            with owned_run_directory(path):
                shutil.rmtree(path)
        except (AlreadyRunningError, FileNotFoundError):
            continue  # in use, or another session is removing it at this moment
        removed.append(path)
    return removed


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all: addresses hold passwords."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
