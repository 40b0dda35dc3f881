"""What a business step reads during one unit: the committed store under what the unit staged."""

from collections.abc import Iterator, Mapping

from services.streaming.interface import SCAN_LIMIT
from services.streaming.store import LocalIndex, PartitionStore


class UnitStore:
    """What a business step reads: the committed store under what this unit staged.

    One is made for each unit and dropped with it.
    """

    def __init__(self, store: PartitionStore, local_index: LocalIndex) -> None:
        self._store = store
        self._local_index = local_index
        self._staged: dict[bytes, bytes | None] = {}
        self._changelog: dict[bytes, bytes] = {}

    @property
    def staged(self) -> Mapping[bytes, bytes]:
        """The changelog writes staged so far."""
        return self._changelog

    def get(self, key: bytes) -> bytes | None:
        """See ReadStore.get."""
        if key in self._staged:
            return self._staged[key]
        return self._store.get(key)

    def stage(self, key: bytes, value: bytes) -> None:
        """See ReadStore.stage."""
        for local_key, local_value in self._local_index(key, self.get(key), value):
            self._staged[local_key] = local_value
        self._staged[key] = self._changelog[key] = value

    def scan(
        self,
        prefix: bytes,
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """See ReadStore.scan."""
        staged = sorted(
            (
                (key, value)
                for key, value in self._staged.items()
                if key.startswith(prefix)
                and (start is None or (key <= start if reverse else key >= start))
            ),
            reverse=reverse,
        )
        return _overlay(
            self._store.scan(prefix, start=start, reverse=reverse), staged, limit, reverse=reverse
        )


def _overlay(
    committed: Iterator[tuple[bytes, bytes]],
    staged: list[tuple[bytes, bytes | None]],
    limit: int,
    *,
    reverse: bool,
) -> Iterator[tuple[bytes, bytes]]:
    """Merge two sorted sequences; of equal keys the staged one holds, and None hides the key."""
    below = next(committed, None)
    for key, value in staged:
        while below is not None and limit > 0 and (below[0] > key if reverse else below[0] < key):
            yield below
            limit -= 1
            below = next(committed, None)
        if below is not None and below[0] == key:
            below = next(committed, None)
        if limit <= 0:
            return
        if value is not None:
            yield key, value
            limit -= 1
    while below is not None and limit > 0:
        yield below
        limit -= 1
        below = next(committed, None)
