"""The decoded records one partition works on: read once, changed in place, written once a unit."""

from collections.abc import Iterator
from typing import TypeVar

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.folding.contribution import EMPTY, Contribution, DayOf, contribution_of
from services.lifecycle.folding.encoding import encoded
from services.lifecycle.local_changes import LocalChanges
from services.streaming.interface import SCAN_LIMIT, ReadStore

M = TypeVar("M", bound=Message)

CACHE_RECORDS_MAX = 4_000
"""Decoded records that a partition keeps between units; about 2 KB each."""
CACHE_BYTES_MAX = 32 << 20
"""Bytes of the records that a partition keeps between units, as they were last read or written."""
CACHE_CONTRIBUTIONS_MAX = 1_000
"""Contributions that a partition keeps between units; about 5 KB each."""


class WorkingSet:
    """Decoded state of one partition. Whatever is handed out for change is written by `flush`."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self._records: dict[bytes, Message | None] = {}
        self._sizes: dict[bytes, int] = {}
        self._size = 0  # their sum, carried along: a unit of one event must not add 4,000 numbers
        self._contributions: dict[bytes, Contribution] = {}
        self._dirty: set[bytes] = set()
        self._local = LocalChanges()

    def read(self, key: bytes, kind: type[M]) -> M | None:
        """The record under a key, not to be changed; None when there is none."""
        try:
            return self._records[key]  # type: ignore[return-value]
        except KeyError:
            value = self.store.get(key)
            record = None if value is None else kind.FromString(value)
            self._records[key] = record
            self._note_size(key, 0 if value is None else len(value))
            return record

    def change(self, key: bytes, kind: type[M]) -> M:
        """The record under a key, for change; a new one when there is none."""
        record = self.read(key, kind)
        if record is None:
            record = kind()
            self._records[key] = record
        self._dirty.add(key)
        return record

    def put(self, key: bytes, record: Message) -> None:
        """Replace the record under a key."""
        self._records[key] = record
        self._dirty.add(key)

    def entity(self, entity_key: str) -> state_pb2.EntityState:
        """The entity, not to be changed; an empty one when nothing is known."""
        state = self.read(state_keys.entity_state(entity_key), state_pb2.EntityState)
        return state if state is not None else state_pb2.EntityState(entity_key=entity_key)

    def contribution(self, entity_key: str, matter_id: str, day_of: DayOf) -> Contribution:
        """What a matter contributes as it stands in this working set."""
        return self.contribution_at(state_keys.matter_state(entity_key, matter_id), day_of)

    def contribution_at(self, matter_key: bytes, day_of: DayOf) -> Contribution:
        """What the matter under a key contributes."""
        found = self._contributions.get(matter_key)
        if found is None:
            found = contribution_of(self.read(matter_key, state_pb2.MatterState), day_of)
            if found is not EMPTY:
                self._contributions[matter_key] = found
        return found

    def put_matter(
        self, key: bytes, matter: state_pb2.MatterState, contribution: Contribution
    ) -> None:
        """Replace a matter together with what it contributes."""
        self.put(key, matter)
        self._contributions[key] = contribution

    def put_local(self, prefix: bytes, rest: bytes, value: bytes | None) -> None:
        """Change a local-only key; see `LocalChanges.put`."""
        self._local.put(prefix, rest, value)

    def scan(
        self,
        prefix: bytes,
        named: bytes = b"",
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield local-only entries under ``prefix`` ‖ ``named`` as this unit left them."""
        return self._local.scan(
            self.store, prefix, named, start=start, limit=limit, reverse=reverse
        )

    def flush(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes | None]]:
        """What this unit changed: records as bytes, and local-only keys.

        The decoded records stay for the next unit.
        """
        output: dict[bytes, bytes] = {}
        for key in sorted(self._dirty):
            record = self._records[key]
            assert record is not None
            output[key] = encoded(record)
            self._note_size(key, len(output[key]))
        self._dirty.clear()
        self._shrink()
        return output, self._local.take()

    def _note_size(self, key: bytes, size: int) -> None:
        self._size += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def _shrink(self) -> None:
        """Let the oldest go until what is left is within the bounds."""
        while len(self._records) > CACHE_RECORDS_MAX or self._size > CACHE_BYTES_MAX:
            key = next(iter(self._records))
            del self._records[key]
            self._size -= self._sizes.pop(key, 0)
            self._contributions.pop(key, None)
        while len(self._contributions) > CACHE_CONTRIBUTIONS_MAX:
            del self._contributions[next(iter(self._contributions))]
