"""The local state of one partition: a RocksDB that can be thrown away and read again.

It holds the changelog's records and the local-only keys derived from them, and in the same
WriteBatch the changelog position they belong to, so that it is never half a unit ahead or behind.
The write-ahead log is not synced: a process killed loses nothing, a machine that loses power loses
a tail, which is read again from the changelog.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    WriteBatch,
)

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.meta import META_KEY, RESERVED_PREFIX, Meta, decode

log = get_logger(__name__)

LocalIndex = Callable[[bytes, bytes | None, bytes], Iterable[tuple[bytes, bytes | None]]]

_LOCKED = ("lock hold by", "While lock file")
"""What RocksDB says of a directory that this process, or another one, has open."""
_DAMAGE = ("Corruption", "IO error: No such file")
_OWNER_KEY = b"\x00owner"
_POSITION_KEY = b"\x00position"


class StoreLockedError(Exception):
    """Another process has this partition's directory open (本地库被占用)."""


class StoreFailedError(EngineError):
    """The disk under the store failed or is full (本地库读写失败); no record is to blame."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.LOCAL_DISK_FAILED, message)


class StoreDamagedError(StoreFailedError):
    """The store cannot be read (本地库损坏); it is marked, and made anew when it is opened next."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the store stands in the changelog partition.

    ``next_offset`` is the first offset not contained. ``meta_offset`` is that of the newest META
    record contained (-1: none); its bytes are the proof that the changelog is still the same one.
    """

    next_offset: int = 0
    meta_offset: int = -1


@dataclass(frozen=True, slots=True)
class Prepared:
    """Changelog records and their local-only keys, ready to be applied."""

    batch: WriteBatch
    meta_value: bytes | None


class StoreOptions:
    """RocksDB options of all partitions of a process: small write buffers, one block cache."""

    def __init__(self, write_buffer_bytes: int, block_cache_bytes: int) -> None:
        table = BlockBasedOptions()
        table.set_block_cache(Cache(block_cache_bytes))
        table.set_bloom_filter(10, block_based=False)
        # In parts: of a partition of 50 MB a whole filter or index is larger than a shard of the
        # cache, so it was read and unpacked again for every access (absent key 64 → 10 µs, seek
        # 190 → 43 µs).
        table.set_index_type(BlockBasedIndexType.two_level_index_search())
        table.set_partition_filters(True)
        table.set_pin_top_level_index_and_filter(True)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_write_buffer_size(write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_block_based_table_factory(table)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        self.rocksdb = options


class PartitionStore:
    """The store of one partition, open from assignment to revocation."""

    def __init__(self, path: Path, options: StoreOptions, owner: str) -> None:
        """Open the store, creating it, and emptying it if it is damaged or another owner's.

        ``owner`` names the changelog topic by its id, and the partition: a topic deleted and made
        again has the same name and offsets that mean something else.

        Raises:
            StoreLockedError: another process has it open.
        """
        self.path = path
        self._options = options
        self._db = self._open()
        self.position = Position()
        self.meta = Meta()
        self._meta_value: bytes | None = None
        self._load()
        stored = self.get(_OWNER_KEY)
        if stored != owner.encode():
            if stored is not None:
                reason = f"it is of {stored.decode()}, not of {owner}"
                log.warning("local_store_wiped", path=str(path), reason=reason)
                self.wipe()
            self._db.put(_OWNER_KEY, owner.encode())

    @property
    def meta_value(self) -> bytes | None:
        """The bytes of the newest META record contained."""
        return self._meta_value

    def get(self, key: bytes) -> bytes | None:
        """Return the committed value under ``key``."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            self._tell_failed_disk(error)
            raise
        return value

    def _get_all(self, keys: list[bytes]) -> list[bytes | None]:
        """Return the committed values under ``keys``; a third faster than one by one."""
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
        """Yield committed entries under ``prefix`` in byte order, descending if ``reverse``.

        The engine's own keys are not among them.
        """
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
            if not key.startswith(RESERVED_PREFIX):
                yield key, cursor.value()
            if reverse:
                cursor.prev()
            else:
                cursor.next()
        cursor.status()

    def prepare_known(
        self,
        records: Iterable[tuple[bytes, bytes]],
        local: Mapping[bytes, bytes | None],
        meta_value: bytes,
    ) -> Prepared:
        """Collect a unit's records and the local-only keys that its step named: nothing is read."""
        batch = WriteBatch(raw_mode=True)
        for key, value in records:
            batch.put(key, value)
        _put_local(batch, local.items())
        return Prepared(batch, meta_value)

    def prepare(self, records: Iterable[tuple[bytes, bytes]], local_index: LocalIndex) -> Prepared:
        """Collect changelog records in order, with their local-only keys, without writing them.

        Of several under one key only the last is looked at, as if the topic had been compacted.
        A META record among them becomes the store's ``meta`` when they are applied.
        """
        newest = dict(records)
        meta_value = newest.pop(META_KEY, None)
        batch = WriteBatch(raw_mode=True)
        for (key, value), old in zip(newest.items(), self._get_all(list(newest)), strict=True):
            _put_local(batch, local_index(key, old, value))
            batch.put(key, value)
        return Prepared(batch, meta_value)

    def apply(self, prepared: Prepared, position: Position) -> None:
        """Write what was prepared and the position it leads to: after a kill all of it or nothing.

        Nothing else may have been applied since it was prepared.
        """
        if prepared.meta_value is not None:
            prepared.batch.put(META_KEY, prepared.meta_value)
        stored = json.dumps([position.next_offset, position.meta_offset])
        prepared.batch.put(_POSITION_KEY, stored.encode())
        try:
            self._db.write(prepared.batch)
        except Exception as error:
            self._tell_failed_disk(error)
            raise
        self.position = position
        if prepared.meta_value is not None:
            self._meta_value, self.meta = prepared.meta_value, decode(prepared.meta_value)

    def wipe(self) -> None:
        """Throw everything away; the position is 0 afterwards."""
        owner = self.get(_OWNER_KEY)
        self._db.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._db = self._open()
        if owner is not None:
            self._db.put(_OWNER_KEY, owner)
        self._load()

    def close(self) -> None:
        """Flush and close; the store keeps its position for the next opening."""
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
            if any(held in str(error) for held in _LOCKED):
                raise StoreLockedError(f"{self.path} is open in another process") from error
            reason = f"unreadable: {error}"
            log.warning("local_store_wiped", path=str(self.path), reason=reason)
        shutil.rmtree(self.path)
        self.path.mkdir(parents=True)
        return Rdict(str(self.path), options=self._options.rocksdb)

    def _load(self) -> None:
        stored = self.get(_POSITION_KEY)
        self.position = Position(*json.loads(stored)) if stored else Position()
        self._meta_value = self.get(META_KEY)
        self.meta = Meta() if self._meta_value is None else decode(self._meta_value)


def _put_local(batch: WriteBatch, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
    for key, value in changes:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)


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
