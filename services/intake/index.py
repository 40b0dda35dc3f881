"""The intake index (接收索引): which source versions are on the log, and where each stands first.

An instance's own, local and disposable: a RocksDB filled by reading the instance's event topic
from its beginning (``tail.py``). Entries, places and the position read up to are written in one
WriteBatch, so a process killed at any moment continues where the log was last applied. The
write-ahead log is not synced: what a power cut takes is read again.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rocksdict import DBCompressionType, Options, Rdict, WriteBatch

from services.intake import placement
from services.intake.placement import Entry, Place, SourceKey, TailRecord
from services.intake.slot_history import Move, contested, missing_moves, with_record
from services.runtime.rocksdb import table_options

FORMAT = 1
"""Raised when the byte forms change; an index of another format is emptied and filled again."""

WRITE_BUFFER_BYTES = 8 << 20
BLOCK_CACHE_BYTES = 32 << 20
OPEN_FILES_MAX = 128

_META_KEY = b"m"


class IndexLockedError(Exception):
    """Another process uses this index directory (接收索引被占用): give each instance its own."""


@dataclass(frozen=True, slots=True)
class IndexIdentity:
    """What an index is about; one made for anything else is emptied.

    ``topic_id`` is the broker's id of the topic: a topic deleted and created again has another.
    """

    topic: str
    topic_id: str


@dataclass(slots=True)
class Applied:
    """What a batch of tail records changed, beyond the entries themselves."""

    slots_with_moves: list[bytes] = field(default_factory=list)
    """Slots that came to need a MOVED record."""
    contested_slots: list[bytes] = field(default_factory=list)
    """Slots whose highest version stands under two places."""


class IntakeIndex:
    """Entries by source version, places by slot, positions by partition. One thread only."""

    def __init__(self, directory: Path, identity: IndexIdentity) -> None:
        """Open the index in ``directory``, emptying one of another topic or format.

        Raises:
            IndexLockedError: another process has it open.
        """
        self._directory = directory
        self._identity = identity
        self._database = self._open()
        if self._read_identity() != self._expected_identity():
            self.wipe()

    def _expected_identity(self) -> dict[str, str | int]:
        return {
            "format": FORMAT,
            "topic": self._identity.topic,
            "topic_id": self._identity.topic_id,
        }

    def _read_identity(self) -> object:
        stored: bytes | None = self._database.get(_META_KEY)
        return None if stored is None else json.loads(stored)

    def _open(self) -> Rdict:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            return Rdict(str(self._directory), _options())
        except Exception as error:  # rocksdict raises bare Exception, whatever the cause
            if "lock" in str(error).lower():
                message = f"{self._directory} is in use by another process (接收索引目录被占用)"
                raise IndexLockedError(message) from error
            if "corruption" not in str(error).lower():
                raise
            # A damaged store is worth nothing: the log has everything it held.
            shutil.rmtree(self._directory)
            self._directory.mkdir(parents=True)
            return Rdict(str(self._directory), _options())

    def wipe(self) -> None:
        """Empty the index; positions start at the beginning of the log again."""
        self._database.close()
        shutil.rmtree(self._directory)
        self._database = self._open()
        self._database.put(_META_KEY, json.dumps(self._expected_identity()).encode())

    def close(self) -> None:
        """Close the store; the index must not be used afterwards."""
        self._database.close()

    def position(self, partition: int) -> int:
        """Return the next offset to read of a partition, 0 when nothing was read."""
        stored: bytes | None = self._database.get(placement.position_key(partition))
        return 0 if stored is None else placement.decode_position(stored)[0]

    def find(self, keys: Sequence[SourceKey]) -> list[Entry | None]:
        """Return for each key the first record that holds it, or None when there is none."""
        stored = self._get_many([placement.entry_key(key) for key in keys])
        return [None if data is None else placement.decode_entry(data) for data in stored]

    def places(self, slot: bytes) -> tuple[Place, ...]:
        """Return the places under which versions of a slot were filed."""
        stored: bytes | None = self._database.get(placement.SLOT_PREFIX + slot)
        return () if stored is None else placement.decode_places(stored)

    def moves(self, slot: bytes) -> tuple[Move, ...]:
        """Return the MOVED records a slot needs by what was read so far."""
        return missing_moves(self.places(slot))

    def pending_slots(self, *, after: bytes = b"", limit: int) -> list[bytes]:
        """Return at most ``limit`` slots above ``after`` that need a MOVED record, in order."""
        prefix = placement.PENDING_PREFIX
        found: list[bytes] = []
        for key in self._database.keys(from_key=prefix + after):
            if not isinstance(key, bytes) or not key.startswith(prefix) or len(found) == limit:
                break
            if key != prefix + after:
                found.append(key[len(prefix) :])
        return found

    def forget_pending(self, slot: bytes) -> None:
        """Drop the mark of a slot that needs no MOVED record any more."""
        self._database.delete(placement.PENDING_PREFIX + slot)

    def apply(
        self, records: Iterable[TailRecord], positions: Mapping[int, tuple[int, int]]
    ) -> Applied:
        """Take in what was read, with the positions it leads to, atomically.

        ``positions``: partition → (next offset, append time in ms of the last record read).
        Reading records again changes nothing. A MOVED record makes no entry: it is nobody's
        receipt.
        """
        batch = WriteBatch(raw_mode=True)
        applied = Applied()
        known = list(records)
        self._apply_entries(known, batch)
        self._apply_places(known, batch, applied)
        for partition, (next_offset, append_time_ms) in positions.items():
            value = placement.encode_position(next_offset, append_time_ms)
            batch.put(placement.position_key(partition), value)
        self._database.write(batch)
        return applied

    def _apply_entries(self, records: Sequence[TailRecord], batch: WriteBatch) -> None:
        first: dict[bytes, Entry] = {}
        for record in records:
            if not record.is_moved:
                key = placement.entry_key(record.key)
                other = first.get(key)
                if other is None or record.entry.precedes(other):
                    first[key] = record.entry
        stored = self._get_many(list(first))
        for (key, entry), data in zip(first.items(), stored, strict=True):
            if data is None or entry.precedes(placement.decode_entry(data)):
                batch.put(key, placement.encode_entry(entry))

    def _apply_places(
        self, records: Sequence[TailRecord], batch: WriteBatch, applied: Applied
    ) -> None:
        by_slot: dict[bytes, list[TailRecord]] = {}
        for record in records:
            slot = placement.slot_bytes(record.key.source_system, record.key.source_record_id)
            by_slot.setdefault(slot, []).append(record)
        stored = self._get_many([placement.SLOT_PREFIX + slot for slot in by_slot])
        for (slot, group), data in zip(by_slot.items(), stored, strict=True):
            old = () if data is None else placement.decode_places(data)
            new = old
            for record in group:
                new = with_record(new, record)
            if new is not old:
                batch.put(placement.SLOT_PREFIX + slot, placement.encode_places(new))
                self._mark_pending(slot, old, new, batch, applied)

    def _mark_pending(
        self,
        slot: bytes,
        old: tuple[Place, ...],
        new: tuple[Place, ...],
        batch: WriteBatch,
        applied: Applied,
    ) -> None:
        if len(new) < 2:
            return
        needed = missing_moves(new)
        if needed:
            batch.put(placement.PENDING_PREFIX + slot, b"")
            applied.slots_with_moves.append(slot)
        elif len(old) > 1:
            batch.delete(placement.PENDING_PREFIX + slot)
        if contested(new):
            applied.contested_slots.append(slot)

    def _get_many(self, keys: list[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        found: list[bytes | None] = self._database.get(list(keys)) or []
        return found


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - positional in rocksdict
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_block_based_table_factory(table_options(BLOCK_CACHE_BYTES))
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_keep_log_file_num(2)
    return options
