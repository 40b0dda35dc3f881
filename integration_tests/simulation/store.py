"""A worker's local copy of a partition in memory, with the rules of `streaming.store`."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from integration_tests.simulation.broker import Log
from services.streaming.attempts import Attempt
from services.streaming.meta import META_KEY, Meta, decode
from services.streaming.store import LocalIndex, Position


@dataclass(slots=True)
class Batch:
    """What one unit writes: puts and (None) deletions, in order."""

    writes: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    meta_value: bytes | None = None


class LocalStore:
    """Stands in for `PartitionStore`: same answers, a sorted list instead of RocksDB."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self.position = Position()
        self.meta = Meta()
        self.attempt: Attempt | None = None
        """What stands in the journal beside the store."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key."""
        return self._values.get(key)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield entries under a prefix in byte order, descending if ``reverse``."""
        low = bisect_left(self._keys, prefix)
        found = []
        for key in self._keys[low:]:
            if not key.startswith(prefix):
                break
            if start is None or (key <= start if reverse else key >= start):
                found.append(key)
        if reverse:
            found.reverse()
        return iter([(key, self._values[key]) for key in found])

    def prepare_known(
        self,
        records: Iterable[tuple[bytes, bytes]],
        local: Mapping[bytes, bytes | None],
        meta_value: bytes | None,
    ) -> Batch:
        """Collect records with the local-only keys that the step named."""
        return Batch([*records, *local.items()], meta_value)

    def prepare(self, records: Iterable[tuple[bytes, bytes]], local_index: LocalIndex) -> Batch:
        """Collect records with the local-only keys that follow from them."""
        batch = Batch()
        newest: dict[bytes, bytes] = {}
        for key, value in records:
            if key == META_KEY:
                batch.meta_value = value
                continue
            old = newest.get(key, self._values.get(key))
            batch.writes.extend(local_index(key, old, value))
            batch.writes.append((key, value))
            newest[key] = value
        return batch

    def apply(self, batch: Batch, position: Position) -> None:
        """Write a batch and the position it leads to."""
        for key, value in batch.writes:
            if value is None:
                if self._values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
                continue
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value
        self.position = position
        if batch.meta_value is not None:
            self.meta = decode(batch.meta_value)

    def restore(self, changelog: Log, local_index: LocalIndex, *, compacted: bool) -> None:
        """Read the changelog from this store's position to its end.

        ``compacted``: only the newest record of each key is still there.
        """
        records, position = changelog.read(self.position.next_offset, len(changelog.records))
        if compacted:
            newest = {record.key: record.offset for record in records}
            records = [record for record in records if newest[record.key] == record.offset]
        pairs = [(record.key or b"", record.value or b"") for record in records]
        self.apply(self.prepare(pairs, local_index), Position(position, -1))

    @property
    def contents(self) -> dict[bytes, bytes]:
        """Everything held, local-only keys included."""
        return dict(self._values)
