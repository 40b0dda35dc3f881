"""Deleting a generation that is over: by known names, in slices, never by searching."""

from typing import Any

from redis.asyncio import Redis

from services.contracts.topics import PARTITIONS
from services.readmodel import alert_index, record
from services.readmodel.errors import RecordError
from services.readmodel.keys import LINKS_INDEX, Keys
from services.readmodel.record import Term

SLICE = 500
"""Members of an index that one step deletes."""


class GenerationCleaner:
    """Deletes what generations other than the serving one left behind.

    Every record is found through an index it is a member of, and leaves its indexes with it, so a
    cleaner that is killed is continued by the next one.
    """

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def step(self) -> bool:
        """Delete one slice of one old generation; False when there is nothing left to delete.

        Call it only while the generation of ``keys`` serves.
        """
        names = await self._members(self._keys.generations, 2)
        others = [name.decode() for name in names if name.decode() != self._keys.generation]
        if not others:
            return False
        old = Keys(others[0], self._keys.namespace)
        for delete_slice in (self._entities, self._alerts, self._links):
            if await delete_slice(old):
                return True
        await self._client.unlink(old.positions)
        await self._client.zrem(old.generations, old.generation)
        return True

    async def _entities(self, old: Keys) -> bool:
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
            await self._client.unlink(*names)
            await self._client.zrem(index, *members)
            return True
        return False

    async def _alerts(self, old: Keys) -> bool:
        members = await self._members(old.index(alert_index.ALL))
        names = [old.alert(alert_index.alert_id_of(member)) for member in members]
        return await self._records(old, names, [Term(alert_index.ALL, m) for m in members])

    async def _links(self, old: Keys) -> bool:
        members = await self._members(old.index(LINKS_INDEX))
        names = [old.link(member.decode()) for member in members]
        return await self._records(old, names, [Term(LINKS_INDEX, m) for m in members])

    async def _records(self, old: Keys, names: list[str], found_by: list[Term]) -> bool:
        """Delete records with all their index terms; False when there are none."""
        if not names:
            return False
        values: list[bytes | None] = list(await self._client.mget(names))  # type: ignore[arg-type]
        pipeline = self._client.pipeline(transaction=False)
        for value, found in zip(values, found_by, strict=True):
            for term in (found, *_terms(value)):
                pipeline.zrem(old.index(term.index_name), term.member)
        pipeline.unlink(*names)
        await pipeline.execute()
        return True

    async def _members(self, index: str, limit: int = SLICE) -> list[bytes]:
        members: Any = await self._client.zrange(index, 0, limit - 1)
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
