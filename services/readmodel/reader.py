"""The reading half: only the query side uses it.

Every question is one pipeline that begins by asking which generation answers, and goes on with how
fresh it is, then with data: so freshness is never newer than the data it speaks of. It ends by
asking again which generation answers: a flush in between must not look like nothing being there.
A generation answers in the run of Redis in which it was found complete: one that was loaded from a
snapshot is older than what callers were told, until the projection has been over it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from market_supervision.lifecycle.v1.state_pb2 import AlertThread, EntityState, LinkRecord
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from services.readmodel import freshness, positions, record, scripts
from services.readmodel.connection import TRANSIENT_ERRORS
from services.readmodel.errors import NotReadyError
from services.readmodel.freshness import PartitionReading
from services.readmodel.keys import NAMESPACE_DEFAULT, Keys, generation_in, partition_of
from services.readmodel.pointers import HASH_BYTES, OFFSET_BYTES, Pointer, decode

ALIASES_MAX = 64
"""Keys linked directly to one key that an answer names."""

_GENERATION_CHANGES_MAX = 3


@dataclass(frozen=True, slots=True)
class EntityReading:
    """What the read model holds under one canonical key.

    ``linked_to``: the key it was linked away to, or empty; told by the state where there is one, so
    that it is as fresh as the state is. ``aliases``: keys linked directly to it,
    sorted.
    """

    entity_key: str
    partition: int
    state: EntityState | None
    linked_to: str
    aliases: tuple[str, ...]
    freshness: PartitionReading


class TimelinePlace(NamedTuple):
    """A pointer with the entry's bytes, where Redis holds them."""

    pointer: Pointer
    message: bytes | None


@dataclass(frozen=True, slots=True)
class TimelineReading:
    """One page of pointers, newest first."""

    partition: int
    places: tuple[TimelinePlace, ...]
    freshness: PartitionReading


_Build = Callable[[Keys, Pipeline], object]


class ReadModelReader:
    """Answers from the generation that serves.

    Every method raises NotReadyError when no generation is complete or Redis cannot be reached.
    """

    def __init__(self, client: Redis, namespace: str = NAMESPACE_DEFAULT) -> None:
        self._client = client
        self._keys = Keys("", namespace)

    async def entities(self, entity_keys: Sequence[str]) -> list[EntityReading]:
        """Return what is known under each canonical key, in the order asked."""

        def build(keys: Keys, pipeline: Pipeline) -> None:
            for key in entity_keys:
                pipeline.hmget(keys.positions, positions.freshness_fields(partition_of(key)))
                pipeline.mget(keys.entity(key), keys.link(key))
                pipeline.zrange(keys.aliases(key), 0, ALIASES_MAX - 1)

        answers = await self._ask(build)
        return [
            _entity_reading(key, *answers[3 * n : 3 * n + 3]) for n, key in enumerate(entity_keys)
        ]

    async def partition_freshness(self, partition: int) -> PartitionReading:
        """Return how fresh a partition is."""
        (values,) = await self._ask(
            lambda keys, pipeline: pipeline.hmget(
                keys.positions, positions.freshness_fields(partition)
            )
        )
        return freshness.reading(values)

    async def timeline(
        self, entity_key: str, *, before: bytes | None, limit: int
    ) -> TimelineReading:
        """Return at most ``limit`` pointers, newest first, strictly before a place if given.

        ``before`` is a `Pointer.place`; it need not exist any more.
        """
        partition = partition_of(entity_key)
        top = b"+" if before is None else b"(" + before

        def build(keys: Keys, pipeline: Pipeline) -> None:
            pipeline.hmget(keys.positions, positions.freshness_fields(partition))
            pipeline.hgetall(keys.timeline_newest(entity_key))
            pipeline.zrange(
                keys.timeline(entity_key), top, b"-", desc=True, bylex=True, offset=0, num=limit
            )

        fresh, newest, members = await self._ask(build)
        places = []
        for pointer in map(decode, members):
            kept: bytes = newest.get(pointer.entry_hash, b"")
            # Bytes of another version than the pointer's are as good as none.
            current = kept[:OFFSET_BYTES] == pointer.offset.to_bytes(OFFSET_BYTES, "big")
            places.append(TimelinePlace(pointer, kept[OFFSET_BYTES:] if current else None))
        return TimelineReading(partition, tuple(places), freshness.reading(fresh))

    async def timeline_pointer(self, entity_key: str, entry_hash: bytes) -> Pointer | None:
        """Return where a fact stands by now; None when it is not known."""
        assert len(entry_hash) == HASH_BYTES
        (place,) = await self._ask(
            lambda keys, pipeline: pipeline.hget(keys.timeline_offsets(entity_key), entry_hash)
        )
        if place is None:
            return None
        return decode(place[:-OFFSET_BYTES] + entry_hash + place[-OFFSET_BYTES:])

    async def alerts(self, alert_ids: Sequence[str]) -> list[AlertThread | None]:
        """Return alert threads by id, None for each that is not known."""
        if not alert_ids:
            return []
        (values,) = await self._ask(
            lambda keys, pipeline: pipeline.mget([keys.alert(alert_id) for alert_id in alert_ids])
        )
        return [
            None if value is None else AlertThread.FromString(record.message_of(value))
            for value in values
        ]

    async def index_sizes(self, indexes: Sequence[str]) -> list[int]:
        """Return the number of members of each index."""

        def build(keys: Keys, pipeline: Pipeline) -> None:
            for index in indexes:
                pipeline.zcard(keys.index(index))

        return [int(size) for size in await self._ask(build)]

    async def index_ranges(
        self, indexes: Sequence[str], *, before: bytes | None, limit: int
    ) -> list[list[bytes]]:
        """Return of each index at most ``limit`` members, highest first, strictly below one."""
        top = b"+" if before is None else b"(" + before

        def build(keys: Keys, pipeline: Pipeline) -> None:
            for index in indexes:
                pipeline.zrange(
                    keys.index(index), top, b"-", desc=True, bylex=True, offset=0, num=limit
                )

        return list(await self._ask(build))

    async def check_ready(self) -> None:
        """Raise NotReadyError unless a complete generation answers."""
        await self._ask(lambda _keys, _pipeline: None)

    async def _ask(self, build: _Build) -> list[Any]:
        try:
            for _ in range(_GENERATION_CHANGES_MAX):
                # Another call may learn of a new generation while this one waits.
                keys = self._keys
                pipeline = self._client.pipeline(transaction=False)
                pipeline.get(keys.serving)
                build(keys, pipeline)
                # The text every time: asking whether Redis knows the script is a round trip.
                pipeline.eval(scripts.SERVING, 1, keys.serving)
                serving, *answers, serving_still = await pipeline.execute()
                if serving is None or serving_still is None:
                    raise NotReadyError("the read model is not complete yet (读模型尚未就绪)")
                if serving == serving_still and generation_in(serving) == keys.generation:
                    return answers
                self._keys = Keys(generation_in(serving_still), keys.namespace)
        except TRANSIENT_ERRORS as error:
            raise NotReadyError(f"Redis does not answer: {error} (读模型暂不可用)") from error
        raise NotReadyError("the read model is being replaced (读模型正在切换)")


def _entity_reading(
    entity_key: str,
    fresh: Sequence[bytes | None],
    values: Sequence[bytes | None],
    aliases: Sequence[bytes],
) -> EntityReading:
    state, link = (None if value is None else record.message_of(value) for value in values)
    entity = None if state is None else EntityState.FromString(state)
    if entity is not None:
        linked_to = entity.linked_to
    else:
        linked_to = "" if link is None else LinkRecord.FromString(link).to_key
    return EntityReading(
        entity_key=entity_key,
        partition=partition_of(entity_key),
        state=entity,
        linked_to=linked_to,
        aliases=tuple(sorted(alias.decode() for alias in aliases)),
        freshness=freshness.reading(fresh),
    )
