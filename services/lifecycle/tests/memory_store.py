"""A partition's store in memory, for tests of the pure step: a dict with the engine's rules."""

from collections.abc import Callable, Iterable, Iterator

from services.streaming.interface import SCAN_LIMIT

Index = Callable[[bytes, bytes | None, bytes], Iterable[tuple[bytes, bytes | None]]]


class MemoryStore:
    """Implements `streaming.interface.ReadStore`; `commit` plays the engine."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.committed: dict[bytes, bytes] = {}
        self.local: dict[bytes, bytes] = {}
        self._staged: dict[bytes, bytes] = {}
        self._staged_local: dict[bytes, bytes | None] = {}
        self.scans = 0

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
        merged: dict[bytes, bytes | None] = {**self.local, **self._staged_local}
        keys = sorted(
            (k for k, v in merged.items() if k.startswith(prefix) and v is not None),
            reverse=reverse,
        )
        if start is not None:
            keys = [k for k in keys if (k <= start if reverse else k >= start)]
        for key in keys[:limit]:
            value = merged[key]
            assert value is not None
            yield key, value

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
                if local_value is None:
                    self.local.pop(local_key, None)
                else:
                    self.local[local_key] = local_value
            self.committed[key] = value
