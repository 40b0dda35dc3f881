"""Which entity key stands for which (主体标识关联): the intake's copy of the links topic.

Held in memory: a link is made when an entity's code changes or is assigned late, which happens to
a few in a hundred; each takes about 300 bytes.
"""

from collections.abc import Iterable

from market_supervision.lifecycle.v1.state_pb2 import LinkRecord

HOPS_MAX = 32
"""Longest chain of links followed; an entity's key does not change that often."""


class Links:
    """Resolves canonical entity keys (`scheme:value`) to the root of their links."""

    def __init__(self) -> None:
        self._target: dict[str, str] = {}

    def apply(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Take in records (key, value) of the links topic, in order within each key.

        A value without a target, or none, withdraws the link.
        """
        for key, value in records:
            if key is None:
                continue
            target = LinkRecord.FromString(value).to_key if value else ""
            if target:
                self._target[key.decode()] = target
            else:
                self._target.pop(key.decode(), None)

    def root_of(self, key: str) -> str:
        """Return the key that stands for the entity now; ``key`` itself when nothing replaced it.

        Links that lead in a circle, or on and on, name no root: then it is ``key`` as well.
        """
        current = key
        for _ in range(HOPS_MAX):
            following = self._target.get(current)
            if following is None:
                return current
            if following == key:
                return key
            current = following
        return key
