"""The local state of one partition: a RocksDB that can be thrown away and read again.

It holds the changelog's records and the local-only keys derived from them, and in the same
WriteBatch the changelog position they belong to, so that it is never half a unit ahead or behind.
The write-ahead log is not synced: a process killed loses nothing, a machine that loses power loses
a tail, which is read again from the changelog.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rocksdict import WriteBatch

from services.runtime.logging import get_logger
from services.streaming.local_database import LocalDatabase, StoreOptions
from services.streaming.meta import META_KEY, RESERVED_PREFIX, Meta, decode

log = get_logger(__name__)

LocalIndex = Callable[[bytes, bytes | None, bytes], Iterable[tuple[bytes, bytes | None]]]

_OWNER_KEY = b"\x00owner"
_POSITION_KEY = b"\x00position"

_TURN_RECORDS = 100
"""Records of a recovery between two turns of the event loop, on which other partitions work
meanwhile: a unit of theirs takes some twenty turns. To derive a business's local keys takes up to
0.2 ms a record."""


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
        self._database = LocalDatabase(path, options)
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
            self._database.put(_OWNER_KEY, owner.encode())

    @property
    def meta_value(self) -> bytes | None:
        """The bytes of the newest META record contained."""
        return self._meta_value

    def get(self, key: bytes) -> bytes | None:
        """Return the committed value under ``key``."""
        return self._database.get(key)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield committed entries under ``prefix`` in byte order, descending if ``reverse``.

        The engine's own keys are not among them.
        """
        for key, value in self._database.scan(prefix, start=start, reverse=reverse):
            if not key.startswith(RESERVED_PREFIX):
                yield key, value

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
        self._derive(batch, list(newest.items()), local_index)
        return Prepared(batch, meta_value)

    async def prepare_in_turns(
        self, records: Iterable[tuple[bytes, bytes]], local_index: LocalIndex
    ) -> Prepared:
        """Do the same as ``prepare``, but let the event loop turn after every hundred records.

        Nothing may be applied meanwhile.
        """
        newest = dict(records)
        meta_value = newest.pop(META_KEY, None)
        batch = WriteBatch(raw_mode=True)
        left = iter(newest.items())
        while piece := list(islice(left, _TURN_RECORDS)):
            self._derive(batch, piece, local_index)
            await asyncio.sleep(0)
        return Prepared(batch, meta_value)

    def _derive(
        self, batch: WriteBatch, records: Sequence[tuple[bytes, bytes]], local_index: LocalIndex
    ) -> None:
        before = self._database.get_all([key for key, _ in records])
        for (key, value), old in zip(records, before, strict=True):
            _put_local(batch, local_index(key, old, value))
            batch.put(key, value)

    def apply(self, prepared: Prepared, position: Position) -> None:
        """Write what was prepared and the position it leads to: after a kill all of it or nothing.

        Nothing else may have been applied since it was prepared.
        """
        if prepared.meta_value is not None:
            prepared.batch.put(META_KEY, prepared.meta_value)
        stored = json.dumps([position.next_offset, position.meta_offset])
        prepared.batch.put(_POSITION_KEY, stored.encode())
        self._database.write(prepared.batch)
        self.position = position
        if prepared.meta_value is not None:
            self._meta_value, self.meta = prepared.meta_value, decode(prepared.meta_value)

    def wipe(self) -> None:
        """Throw everything away; the position is 0 afterwards."""
        owner = self.get(_OWNER_KEY)
        self._database.empty()
        if owner is not None:
            self._database.put(_OWNER_KEY, owner)
        self._load()

    def close(self) -> None:
        """Flush and close; the store keeps its position for the next opening."""
        self._database.close()

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
