"""Local-only keys that a unit of work changes: seen by its own scans, handed over at its end. Pure.

They are kept by the prefix they are scanned by, because a unit has thousands of them, and a scan is
about a handful.
"""

from collections.abc import Iterator

from services.streaming.interface import SCAN_LIMIT, ReadStore

Entry = tuple[bytes, bytes]


class LocalChanges:
    """What one unit changed so far, over what is committed."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, dict[bytes, bytes | None]] = {}

    def put(self, prefix: bytes, rest: bytes, value: bytes | None) -> None:
        """Change the key ``prefix`` ‖ ``rest``; None deletes. All scans of it name this prefix."""
        held = self._by_prefix.get(prefix)
        if held is None:
            held = self._by_prefix[prefix] = {}
        held[prefix + rest] = value

    def scan(
        self,
        store: ReadStore,
        prefix: bytes,
        named: bytes = b"",
        *,
        start: bytes | None = None,
        limit: int = SCAN_LIMIT,
        reverse: bool = False,
    ) -> Iterator[Entry]:
        """Yield at most ``limit`` entries under ``prefix`` ‖ ``named`` as they stand now.

        ``start`` and ``reverse`` are as in `ReadStore.scan`.
        """
        whole = prefix + named
        changed = {
            key: value
            for key, value in self._by_prefix.get(prefix, {}).items()
            if key.startswith(whole)
            and (start is None or (key <= start if reverse else key >= start))
        }
        if not changed:
            return store.scan(whole, start=start, limit=limit, reverse=reverse)
        # So many of the committed ones may be hidden.
        committed = store.scan(whole, start=start, limit=limit + len(changed), reverse=reverse)
        merged: dict[bytes, bytes | None] = dict(committed)
        merged.update(changed)
        found = ((key, merged[key]) for key in sorted(merged, reverse=reverse))
        return iter([(key, value) for key, value in found if value is not None][:limit])

    def take(self) -> dict[bytes, bytes | None]:
        """Return all changes and begin anew."""
        changes = {key: value for held in self._by_prefix.values() for key, value in held.items()}
        self._by_prefix.clear()
        return changes
