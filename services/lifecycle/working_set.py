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
            self._sizes[key] = 0 if value is None else len(value)
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
            self._sizes[key] = len(output[key])
        self._dirty.clear()
        self._shrink()
        return output, self._local.take()

    def _shrink(self) -> None:
        size = sum(self._sizes.values())
        excess = len(self._records) - CACHE_RECORDS_MAX
        for number, key in enumerate(list(self._records)):
            if number >= excess and size <= CACHE_BYTES_MAX:
                break
            del self._records[key]
            size -= self._sizes.pop(key, 0)
            self._contributions.pop(key, None)
        excess = len(self._contributions) - CACHE_CONTRIBUTIONS_MAX
        for key in list(self._contributions)[: max(0, excess)]:
            del self._contributions[key]
