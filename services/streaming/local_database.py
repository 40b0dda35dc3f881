"""A RocksDB that may be thrown away: opened or made anew, read, written in one batch.

What RocksDB says of a failing disk becomes an error of its own: it speaks against no record.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rocksdict import (
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
)

from services.runtime.logging import get_logger
from services.runtime.rocksdb import table_options
from services.streaming.exits import EngineError, ExitCode

log = get_logger(__name__)

_LOCKED = ("lock hold by", "While lock file")
"""What RocksDB says of a directory that this process, or another one, has open."""
_DAMAGE = ("Corruption", "IO error: No such file")
_DISK = "IO error"
"""How RocksDB's message begins when the disk failed, is full or has no descriptor left, and the
files are not to blame, unless it begins as one of ``_DAMAGE``."""


class StoreLockedError(Exception):
    """Another process has this partition's directory open (本地库被占用)."""


class StoreFailedError(EngineError):
    """The disk under the store failed or is full (本地库读写失败); no record is to blame."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.LOCAL_DISK_FAILED, message)


class StoreDamagedError(StoreFailedError):
    """The store cannot be read (本地库损坏); it is marked, and made anew when it is opened next."""


class StoreOptions:
    """RocksDB options of all partitions of a process: small write buffers, one block cache."""

    def __init__(self, write_buffer_bytes: int, block_cache_bytes: int) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_write_buffer_size(write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_block_based_table_factory(table_options(block_cache_bytes))
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        self.rocksdb = options


class LocalDatabase:
    """One RocksDB directory of this process."""

    def __init__(self, path: Path, options: StoreOptions) -> None:
        """Open it, creating it, and making it anew if it is damaged.

        Raises:
            StoreLockedError: another process has it open.
            StoreFailedError: the disk failed or is full; what is there is kept.
        """
        self.path = path
        self._options = options
        self._db = self._open()

    def get(self, key: bytes) -> bytes | None:
        """Return the value under ``key``."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            self._tell_failed_disk(error)
            raise
        return value

    def get_all(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the values under ``keys``; a third faster than one by one."""
        if not keys:
            return []
        try:
            values: Any = self._db.get(list[Any](keys))
        except Exception as error:
            self._tell_failed_disk(error)
            raise
        return list(values)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield entries under ``prefix`` in byte order, descending if ``reverse``."""
        try:
            yield from self._scan(prefix, start, reverse=reverse)
        except Exception as error:
            self._tell_failed_disk(error)
            raise

    def _scan(
        self, prefix: bytes, start: bytes | None, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._db.iter()
        if reverse:
            _seek_last(cursor, prefix, start)
        else:
            cursor.seek(prefix if start is None or start < prefix else start)
        while cursor.valid():
            key: bytes = cursor.key()
            if not key.startswith(prefix):
                return
            yield key, cursor.value()
            if reverse:
                cursor.prev()
            else:
                cursor.next()
        cursor.status()

    def write(self, batch: WriteBatch) -> None:
        """Write a batch: after a kill all of it is there, or nothing."""
        try:
            self._db.write(batch)
        except Exception as error:
            self._tell_failed_disk(error)
            raise

    def put(self, key: bytes, value: bytes) -> None:
        """Write one value."""
        batch = WriteBatch(raw_mode=True)
        batch.put(key, value)
        self.write(batch)

    def empty(self) -> None:
        """Throw everything away."""
        self._db.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._db = self._open()

    def close(self) -> None:
        """Flush and close."""
        try:
            self._db.flush()
        except Exception as error:
            self._tell_failed_disk(error)
            raise
        self._db.close()

    @property
    def _mark(self) -> Path:
        """Beside the directory: it goes last, when all of the damaged store is gone."""
        return self.path.with_name(f"{self.path.name}.damaged")

    def _tell_failed_disk(self, error: Exception) -> None:
        """Raise RocksDB's own statuses as failures of the disk.

        If RocksDB says that its files are damaged, a mark is left for the next start: such damage
        may show long after opening, and at the same record at every start. What rocksdict raises
        of a wrong argument has a type of its own and remains what it is.
        """
        if type(error) is not Exception:
            return
        if str(error).startswith(_DAMAGE):
            self._mark.touch()
            message = f"local store {self.path} is damaged, it is read anew at the next start"
            raise StoreDamagedError(f"{message}: {error}") from error
        raise StoreFailedError(f"local store {self.path}: {error}") from error

    def _open(self) -> Rdict:
        if self._mark.exists():
            log.warning("local_store_wiped", path=str(self.path), reason="found damaged")
            shutil.rmtree(self.path, ignore_errors=True)
            self._mark.unlink()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return Rdict(str(self.path), options=self._options.rocksdb)
        except Exception as error:
            said = str(error)
            if any(held in said for held in _LOCKED):
                raise StoreLockedError(f"{self.path} is open in another process") from error
            if said.startswith(_DISK) and not said.startswith(_DAMAGE):
                raise StoreFailedError(
                    f"local store {self.path} cannot be opened: {said}"
                ) from error
            log.warning("local_store_wiped", path=str(self.path), reason=f"unreadable: {said}")
        shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        try:
            return Rdict(str(self.path), options=self._options.rocksdb)
        except Exception as error:
            raise StoreFailedError(f"local store {self.path} cannot be made: {error}") from error


def _seek_last(cursor: RdictIter, prefix: bytes, start: bytes | None) -> None:
    """Place the cursor on the last key under ``prefix`` that is not above ``start``."""
    if start is not None and start.startswith(prefix):
        cursor.seek_for_prev(start)
        return
    if start is not None and start < prefix:
        cursor.seek_for_prev(start)  # every key of the prefix is above: nothing will match
        return
    above = _successor(prefix)
    if above is None:
        cursor.seek_to_last()
        return
    cursor.seek_for_prev(above)
    if cursor.valid() and cursor.key() == above:
        cursor.prev()


def _successor(prefix: bytes) -> bytes | None:
    """Return the smallest key above all that begin with ``prefix``; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None
