"""The decoded records one partition works on: read once, changed in place, written once a unit."""

from typing import TypeVar

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.folding.contribution import EMPTY, Contribution, DayOf, contribution_of
from services.lifecycle.local_index import LocalIndex
from services.streaming.interface import ReadStore

M = TypeVar("M", bound=Message)

CACHE_RECORDS_MAX = 4_000
"""Decoded records that a partition keeps between units; about 2 KB each."""
CACHE_BYTES_MAX = 32 << 20
"""Bytes of the records that a partition keeps between units, as they were last read or written."""
CACHE_CONTRIBUTIONS_MAX = 1_000
"""Contributions that a partition keeps between units; about 5 KB each."""


class WorkingSet:
    """Decoded state of one partition. Whatever is handed out for change is written by `flush`."""

    def __init__(self, store: ReadStore, index: LocalIndex) -> None:
        self.store = store
        self._index = index
        self._records: dict[bytes, Message | None] = {}
        self._sizes: dict[bytes, int] = {}
        self._contributions: dict[bytes, Contribution] = {}
        self._dirty: set[bytes] = set()
        self._unstaged: set[bytes] = set()
        self._staged = False

    def read(self, key: bytes, kind: type[M]) -> M | None:
        """The record under a key, not to be changed; None when there is none."""
        if key not in self._records:
            value = self.store.get(key)
            self._records[key] = None if value is None else kind.FromString(value)
            self._sizes[key] = len(value or b"")
        record = self._records[key]
        assert record is None or isinstance(record, kind)
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
        """Replace the record under a key; it is staged before the next scan."""
        self._records[key] = record
        self._contributions.pop(key, None)
        self._dirty.add(key)
        self._unstaged.add(key)

    def entity(self, entity_key: str) -> state_pb2.EntityState:
        """The entity, not to be changed; an empty one when nothing is known."""
        state = self.read(state_keys.entity_state(entity_key), state_pb2.EntityState)
        return state if state is not None else state_pb2.EntityState(entity_key=entity_key)

    def contribution(self, entity_key: str, matter_id: str, day_of: DayOf) -> Contribution:
        """What a matter contributes as it stands in this working set."""
        key = state_keys.matter_state(entity_key, matter_id)
        found = self._contributions.get(key)
        if found is None:
            found = contribution_of(self.read(key, state_pb2.MatterState), day_of)
            if found is not EMPTY:
                self._contributions[key] = found
        return found

    def put_matter(self, matter: state_pb2.MatterState, contribution: Contribution) -> None:
        """Replace a matter together with what it contributes."""
        key = state_keys.matter_state(matter.entity_key, matter.matter_id)
        self.put(key, matter)
        self._contributions[key] = contribution

    def stage(self) -> None:
        """Make replaced records, and the local keys that follow from them, visible to scans."""
        self._staged = True
        for key in sorted(self._unstaged):
            self.store.stage(key, self._bytes(key))
        self._unstaged.clear()

    def flush(self) -> dict[bytes, bytes]:
        """What this unit changed, as bytes; the decoded records stay for the next unit."""
        if self._staged:
            self.stage()
        output = {key: self._bytes(key) for key in sorted(self._dirty)}
        self._dirty.clear()
        self._unstaged.clear()
        self._staged = False
        self._shrink()
        return output

    def _bytes(self, key: bytes) -> bytes:
        record = self._records[key]
        assert record is not None
        value = record.SerializeToString(deterministic=True)
        self._sizes[key] = len(value)
        if isinstance(record, state_pb2.MatterState):
            contribution = self._contributions.get(key)
            if contribution is not None:
                self._index.remember(value, record, contribution)
        return value

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
