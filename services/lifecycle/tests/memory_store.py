"""A partition's store in memory, for tests of the pure step: a dict with the engine's rules."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice

from services.streaming.interface import SCAN_LIMIT

Index = Callable[[bytes, bytes | None, bytes], Iterable[tuple[bytes, bytes | None]]]


class MemoryStore:
    """Implements `streaming.interface.ReadStore`; `commit` plays the engine."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.committed: dict[bytes, bytes] = {}
        self.local: dict[bytes, bytes] = {}
        self._order: list[bytes] = []
        self._staged: dict[bytes, bytes] = {}
        self._staged_local: dict[bytes, bytes | None] = {}
        self.scans = 0

    def load(self, committed: dict[bytes, bytes], local: dict[bytes, bytes]) -> None:
        """Begin with what another store held."""
        self.committed, self.local, self._order = committed, local, sorted(local)

    def get(self, key: bytes) -> bytes | None:
        """See ReadStore.get."""
        return self._staged.get(key, self.committed.get(key))

    def scan(
        self,
        prefix: bytes,
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ReadStore.scan."""
        self.scans += 1
        staged = [k for k in self._staged_local if k.startswith(prefix) and k not in self.local]
        places = range(bisect_left(self._order, prefix), bisect_left(self._order, _above(prefix)))
        held = (self._order[n] for n in (reversed(places) if reverse else places))
        keys: Iterable[bytes] = merge(held, sorted(staged, reverse=reverse), reverse=reverse)
        if start is not None:
            keys = (k for k in keys if (k <= start if reverse else k >= start))
        found = ((key, self._staged_local.get(key, self.local.get(key))) for key in keys)
        yield from islice(((k, v) for k, v in found if v is not None), limit)

    def stage(self, key: bytes, value: bytes) -> None:
        """See ReadStore.stage."""
        for local_key, local_value in self._index(key, self.get(key), value):
            self._staged_local[local_key] = local_value
        self._staged[key] = value

    def commit(self, changelog: dict[bytes, bytes]) -> None:
        """End the unit as the engine does."""
        for key, value in self._staged.items():
            assert changelog[key] == value, "what is staged stands in the output"
        self._staged.clear()
        self._staged_local.clear()
        for key, value in changelog.items():
            for local_key, local_value in self._index(key, self.committed.get(key), value):
                self._put_local(local_key, local_value)
            self.committed[key] = value

    def _put_local(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self.local:
                insort(self._order, key)
            self.local[key] = value
        elif self.local.pop(key, None) is not None:
            del self._order[bisect_left(self._order, key)]


def _above(prefix: bytes) -> bytes:
    """The smallest key above all that begin with a prefix; no prefix here is all 0xff."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
