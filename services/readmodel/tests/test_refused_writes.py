"""A position implies its data: what Redis refused or lost is never stepped over."""

import os

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.readmodel import connection, record
from services.readmodel.keys import Keys, partition_of
from services.readmodel.pointers import Pointer
from services.readmodel.positions import LIFECYCLE, TIMELINE
from services.readmodel.record import Term
from services.readmodel.writer import Mismatch, ReadModelWriter, TimelineFact, TopicBatch

ENTITY = "regno:442000000000001"
PARTITION = partition_of(ENTITY)
STATES = [f"regno:4420000{number:08d}" for number in range(250)]
"""As many as three script calls take, so that one may fail and others not."""


@pytest.fixture
async def writer(client: Redis, keys: Keys) -> ReadModelWriter:
    """Return a writer of an empty generation."""
    made = ReadModelWriter(client, keys)
    await made.register()
    return made


def _batches(keys: Keys, message: bytes = b"state") -> list[TopicBatch]:
    """Return states, and a fact that came, was corrected, and stands beside another."""
    states = TopicBatch(PARTITION, LIFECYCLE, None, len(STATES), done=True, meta=b"meta")
    for offset, entity in enumerate(STATES):
        terms = [Term(f"entities:{PARTITION}", entity.encode())]
        states.records[keys.entity(entity)] = record.encode(offset, terms, message)
    facts = TopicBatch(PARTITION, TIMELINE, None, 3, done=True)
    facts.timelines[ENTITY] = [
        TimelineFact(Pointer(time_ms, number.to_bytes(8, "big"), offset), b"fact")
        for offset, (number, time_ms) in enumerate([(1, 100), (1, 200), (2, 150)])
    ]
    return [states, facts]


async def _content(client: Redis) -> dict[bytes, object]:
    content: dict[bytes, object] = {}
    async for key in client.scan_iter():
        kind = await client.type(key)
        if kind == b"string":
            content[key] = await client.get(key)
        elif kind == b"zset":
            content[key] = await client.zrange(key, 0, -1)
        else:
            content[key] = await client.hgetall(key)
    return content


def _spoiled(keys: Keys) -> list[str]:
    return [
        keys.entity(STATES[0]),
        keys.entity(STATES[-1]),
        keys.entities(PARTITION),
        keys.timeline(ENTITY),
        keys.timeline_offsets(ENTITY),
        keys.timeline_newest(ENTITY),
    ]


@pytest.mark.parametrize("which", range(6))
async def test_one_refused_record_moves_no_position_and_the_batch_goes_in_whole_afterwards(
    client: Redis, writer: ReadModelWriter, keys: Keys, which: int
) -> None:
    """Whichever key is of another kind; what was taken of the batch is no obstacle to the rest."""
    await writer.write(_batches(keys))
    whole = await _content(client)
    await client.flushall()
    await writer.register()
    spoiled = _spoiled(keys)[which]
    await client.rpush(spoiled, "of another kind")

    with pytest.raises(ResponseError) as refused:
        await writer.write(_batches(keys))
    assert not connection.passes(refused.value)
    assert not await client.exists(keys.positions)

    await client.delete(spoiled)
    assert await writer.write(_batches(keys)) == []
    found = {key: value for key, value in (await _content(client)).items() if b":w:" not in key}
    assert found == whole


async def test_full_redis_moves_no_position_until_it_has_room(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """Some of the batch still fits; its position would, too."""
    await writer.write(_batches(keys))
    await client.flushall()
    await writer.register()
    used = int((await client.info("memory"))["used_memory"])
    await client.config_set("maxmemory", used + 200_000)
    try:
        with pytest.raises(Exception, match="maxmemory") as refused:
            await writer.write(_batches(keys, os.urandom(4_000)))
        assert connection.passes(refused.value)
        assert not await client.exists(keys.positions)
    finally:
        await client.config_set("maxmemory", 0)

    assert await writer.write(_batches(keys)) == []
    assert await client.zcard(keys.entities(PARTITION)) == len(STATES)
    assert [await client.exists(keys.entity(entity)) for entity in STATES] == [1] * len(STATES)


@pytest.mark.parametrize("lost", ["flushed", "started again"])
async def test_data_lost_before_its_position_was_moved_is_not_stepped_over(
    client: Redis,
    writer: ReadModelWriter,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    """A flush leaves the position that a rebuild expects: none; a snapshot, the one before."""
    pipeline = client.pipeline
    made = 0

    def losing_before_the_positions(*, transaction: bool) -> object:
        nonlocal made
        made += 1
        begun = pipeline(transaction=transaction)
        if made == 2:
            if lost == "flushed":
                begun.flushall()
            else:
                begun.eval(
                    "for _, key in ipairs(redis.call('KEYS', '*:w:*')) do"
                    " redis.call('SET', key, 'another run') end return false",
                    0,
                )
            execute = begun.execute

            async def without_the_first() -> list[object]:
                return (await execute())[1:]

            monkeypatch.setattr(begun, "execute", without_the_first)
        return begun

    monkeypatch.setattr(client, "pipeline", losing_before_the_positions)
    refused = await writer.write(_batches(keys))

    assert refused == [Mismatch(PARTITION, LIFECYCLE, None), Mismatch(PARTITION, TIMELINE, None)]
    assert not await client.exists(keys.positions)


async def test_write_leaves_no_mark(client: Redis, writer: ReadModelWriter, keys: Keys) -> None:
    """The mark of a write is of use until its positions are moved."""
    await writer.write(_batches(keys))
    assert not [key async for key in client.scan_iter("*:w:*")]


@pytest.mark.parametrize(
    ("answer", "is_passing"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("Error running script (call to f_1): @user_script:9: -OOM command not allowed", True),
        ("MISCONF Redis is configured to save RDB snapshots", True),
        ("Command # 1 (EVALSHA 0) of pipeline caused error: ('MISCONF Redis is',)", True),
        ("NOREPLICAS Not enough good replicas to write.", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("Error running script (call to f_1): @user_script:9: bad argument", False),
    ],
)
def test_refusal_to_write_passes_by_itself(answer: str, *, is_passing: bool) -> None:
    """Damage and defects do not."""
    assert connection.passes(ResponseError(answer)) is is_passing
