"""Deleting a generation that is over: by known names, in slices, never by searching."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from services.contracts.topics import PARTITIONS
from services.readmodel import alert_index, record, scripts
from services.readmodel.errors import RecordError
from services.readmodel.keys import LINKS_INDEX, Keys
from services.readmodel.record import Term

SLICE = 500
"""Members of an index that one step deletes."""
RECORDS_AT_ONCE = 100
"""Records with all their terms that one script call deletes: it stops Redis for a few ms."""


@dataclass(frozen=True, slots=True)
class _Over:
    """A generation that is over, and what was found in Redis when that was seen."""

    keys: Keys
    ordinal: str
    promoted: bytes


class GenerationCleaner:
    """Deletes what generations older than the serving one left behind.

    Every record is found through an index it is a member of, and leaves its indexes with it, so a
    cleaner that is killed is continued by the next one. Nothing is deleted of a generation that is
    newer (another projection may be building it), nor by one that no longer is the newest to have
    answered; both are looked at in the very step that deletes.
    """

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._drop = client.register_script(scripts.DROP)
        self._forget = client.register_script(scripts.FORGET)

    async def step(self) -> bool:
        """Delete one slice of one old generation; False when there is nothing to delete."""
        promoted: Any = await self._client.get(self._keys.promoted) or b""
        ordinal, _, name = promoted.decode().partition("@")
        if name != self._keys.generation:
            return False
        found: Any = await self._client.zrange(
            self._keys.generations, "-inf", f"({ordinal}", byscore=True, offset=0, num=2,
            withscores=True,
        )  # fmt: skip
        others = [(old.decode(), at) for old, at in found if old.decode() != name]
        if not others:
            return False
        over = _Over(Keys(others[0][0], self._keys.namespace), f"{others[0][1]:.0f}", promoted)
        # Positions first: without them nobody takes what is left for whole, not even an earlier
        # release that would let it answer its own readers again.
        await self._delete(over, [over.keys.positions], [])
        for delete_slice in (self._entities, self._alerts, self._links):
            if await delete_slice(over):
                return True
        await self._forget(
            keys=[self._keys.generations, self._keys.promoted, self._keys.superseded],
            args=[over.keys.generation, over.ordinal, over.promoted],
        )
        return True

    async def _entities(self, over: _Over) -> bool:
        old = over.keys
        for partition in range(PARTITIONS):
            index = old.entities(partition)
            members = await self._members(index)
            if not members:
                continue
            names = [
                name
                for entity_key in (member.decode() for member in members)
                for name in (
                    old.entity(entity_key),
                    old.timeline(entity_key),
                    old.timeline_offsets(entity_key),
                    old.timeline_newest(entity_key),
                )
            ]
            await self._delete(over, names, [(index, member) for member in members])
            return True
        return False

    async def _alerts(self, over: _Over) -> bool:
        members = await self._members(over.keys.index(alert_index.ALL))
        names = [over.keys.alert(alert_index.alert_id_of(member)) for member in members]
        return await self._records(over, names, [Term(alert_index.ALL, m) for m in members])

    async def _links(self, over: _Over) -> bool:
        members = await self._members(over.keys.index(LINKS_INDEX))
        names = [over.keys.link(member.decode()) for member in members]
        return await self._records(over, names, [Term(LINKS_INDEX, m) for m in members])

    async def _records(self, over: _Over, names: list[str], found_by: list[Term]) -> bool:
        """Delete records with all their index terms; False when there are none."""
        for start in range(0, len(names), RECORDS_AT_ONCE):
            some = names[start : start + RECORDS_AT_ONCE]
            values: list[bytes | None] = list(await self._client.mget(some))  # type: ignore[arg-type]
            members = [
                (over.keys.index(term.index_name), term.member)
                for value, found in zip(values, found_by[start:], strict=False)
                for term in (found, *_terms(value))
            ]
            await self._delete(over, some, members)
        return bool(names)

    async def _delete(
        self, over: _Over, names: list[str], members: list[tuple[str, bytes]]
    ) -> None:
        await self._drop(
            keys=[self._keys.generations, self._keys.promoted, *names],
            args=[
                over.keys.generation,
                over.ordinal,
                over.promoted,
                *(part for member in members for part in member),
            ],
        )

    async def _members(self, index: str) -> list[bytes]:
        members: Any = await self._client.zrange(index, 0, SLICE - 1)
        return list(members)


def _terms(value: bytes | None) -> tuple[Term, ...]:
    """Return what a record is listed under; nothing of one that cannot be taken apart.

    What an earlier release wrote in another form must not stop the one that cleans up after it.
    """
    if value is None:
        return ()
    try:
        return record.decode(value).terms
    except RecordError:
        return ()
