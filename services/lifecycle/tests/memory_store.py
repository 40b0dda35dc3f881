"""A partition's store in memory, for tests of the pure step: a dict with the engine's rules."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from services.streaming.interface import SCAN_LIMIT

Index = Callable[[bytes, bytes | None, bytes], Iterable[tuple[bytes, bytes | None]]]
LocalChanges = dict[bytes, bytes | None]


class MemoryStore:
    """Implements `streaming.interface.ReadStore`; `commit` plays the engine."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.committed: dict[bytes, bytes] = {}
        self.local: dict[bytes, bytes] = {}
        self._order: dict[bytes, list[bytes]] = {}
        self.scans = 0

    def load(self, committed: dict[bytes, bytes], local: dict[bytes, bytes]) -> None:
        """Begin with what another store held."""
        self.committed = committed
        self.write_local(local)

    def get(self, key: bytes) -> bytes | None:
        """See ReadStore.get."""
        return self.committed.get(key)

    def scan(
        self,
        prefix: bytes,
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ReadStore.scan; a prefix names an entity, or a scheme, at least."""
        self.scans += 1
        order = self._order.get(_group(prefix), [])
        places = range(bisect_left(order, prefix), bisect_left(order, _above(prefix)))
        keys: Iterable[bytes] = [order[n] for n in (reversed(places) if reverse else places)]
        if start is not None:
            keys = (k for k in keys if (k <= start if reverse else k >= start))
        yield from ((key, self.local[key]) for key in islice(keys, limit))

    def stage(self, key: bytes, value: bytes) -> None:
        """See ReadStore.stage: this step keeps what it changes to itself."""
        raise NotImplementedError

    def commit(self, changelog: dict[bytes, bytes], local: LocalChanges | None) -> None:
        """End the unit as the engine does; what is handed over must be what would be derived."""
        derived: LocalChanges = {}
        for key, value in changelog.items():
            derived.update(self._index(key, self.committed.get(key), value))
        assert local is not None
        assert self._effect(local) == self._effect(derived)
        self.committed.update(changelog)
        self.write_local(local)

    def _effect(self, changes: LocalChanges) -> LocalChanges:
        return {key: value for key, value in changes.items() if self.local.get(key) != value}

    def write_local(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Put and delete local-only keys."""
        for key, value in changes.items():
            order = self._order.setdefault(_group(key), [])
            if value is not None:
                if key not in self.local:
                    insort(order, key)
                self.local[key] = value
            elif self.local.pop(key, None) is not None:
                del order[bisect_left(order, key)]


def _group(key: bytes) -> bytes:
    r"""The part before the second bar: `\x01l|<entity>` or `\x01d|<scheme>`."""
    return key[: key.index(b"|", key.index(b"|") + 1)]


def _above(prefix: bytes) -> bytes:
    """The smallest key above all that begin with a prefix; no prefix here is all 0xff."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
