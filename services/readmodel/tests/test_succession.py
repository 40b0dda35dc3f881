"""Generations after one another: who is older neither answers nor writes, and loses its data."""

from collections.abc import Awaitable, Callable

import pytest
from market_supervision.lifecycle.v1.state_pb2 import EntityState
from redis.asyncio import Redis

from services.contracts.topics import PARTITIONS
from services.readmodel import generations, record
from services.readmodel.errors import SupersededError
from services.readmodel.generations import GenerationCleaner
from services.readmodel.keys import Keys, partition_of
from services.readmodel.positions import LIFECYCLE, TOPICS_READ, Heads
from services.readmodel.reader import ReadModelReader
from services.readmodel.record import Term
from services.readmodel.writer import ReadModelWriter, TopicBatch

ENTITIES = [f"regno:4420000{number:08d}" for number in range(60)]
OLD, NEW = Keys("cafe0001"), Keys("cafe0002")


async def _fill(writer: ReadModelWriter, keys: Keys) -> None:
    """Write every entity, and mark every partition complete."""
    batches = {
        (p, topic): TopicBatch(p, topic, None, len(ENTITIES), done=True)
        for p in range(PARTITIONS)
        for topic in TOPICS_READ
    }
    for offset, entity in enumerate(ENTITIES):
        batch = batches[partition_of(entity), LIFECYCLE]
        terms = [Term(f"entities:{batch.partition}", entity.encode())]
        state = EntityState(entity_key=entity).SerializeToString()
        batch.records[keys.entity(entity)] = record.encode(offset, terms, state)
    assert await writer.write(list(batches.values())) == []


async def _assert_all_known(client: Redis) -> None:
    for reading in await ReadModelReader(client).entities(ENTITIES):
        assert reading.state is not None, reading.entity_key


async def _registered(client: Redis, keys: Keys, *, goes_back: bool = False) -> ReadModelWriter:
    made = ReadModelWriter(client, keys, goes_back=goes_back)
    await made.register()
    return made


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "SLICE", 2)


@pytest.fixture
async def old(client: Redis) -> ReadModelWriter:
    """Return the writer of a generation that answers, still running."""
    made = await _registered(client, OLD)
    await _fill(made, OLD)
    assert await made.promote()
    return made


@pytest.fixture
async def new(client: Redis, old: ReadModelWriter) -> ReadModelWriter:
    """Return the writer of the generation that answers now, after the one of ``old``."""
    assert await old.promote()
    made = await _registered(client, NEW)
    await _fill(made, NEW)
    assert await made.promote()
    return made


async def test_entity_is_never_unknown_while_two_generations_take_turns(
    client: Redis, old: ReadModelWriter, new: ReadModelWriter
) -> None:
    """The older one finds its marks as they were, and half of its data deleted."""
    cleaner = GenerationCleaner(client, NEW)
    steps = 0
    while await cleaner.step():
        steps += 1
        with pytest.raises(SupersededError) as refused:
            await old.promote()
        assert refused.value.by == NEW.generation
        await _assert_all_known(client)
        assert await new.promote()
        await _assert_all_known(client)
    assert steps > 10
    assert not [key async for key in client.scan_iter(f"*{OLD.generation}*")]


async def test_old_writer_is_refused_everything(old: ReadModelWriter, new: ReadModelWriter) -> None:
    """Also its registration: what it is told there ends it before it reads anything."""
    at = await old.positions(range(PARTITIONS))
    batch = TopicBatch(0, LIFECYCLE, at[0, LIFECYCLE], 100)
    calls: list[Callable[[], Awaitable[object]]] = [
        old.register,
        old.promote,
        lambda: old.write([batch]),
        lambda: old.beat({0: Heads(1, {"t": 0})}, at),
    ]
    for call in calls:
        with pytest.raises(SupersededError):
            await call()
    assert await old.positions(range(PARTITIONS)) == at
    assert await new.promote()


@pytest.mark.usefixtures("new")
async def test_positions_of_an_old_generation_go_first(client: Redis) -> None:
    """An earlier release that runs on is told that its data is gone, before any of it is."""
    assert await GenerationCleaner(client, NEW).step()
    assert not await client.exists(OLD.positions)
    assert await client.exists(*map(OLD.entity, ENTITIES))


@pytest.mark.parametrize("cleaned", [0, 3, 1_000])
async def test_start_of_an_old_generation_is_refused_unless_it_goes_back(
    client: Redis, new: ReadModelWriter, cleaned: int
) -> None:
    """A supervisor's start changes nothing; a decision builds it anew, whole, and it is newest."""
    cleaner = GenerationCleaner(client, NEW)
    for _ in range(cleaned):
        if not await cleaner.step():
            break
    with pytest.raises(SupersededError):
        await _registered(client, OLD)

    back = await _registered(client, OLD, goes_back=True)
    assert set((await back.positions(range(PARTITIONS))).values()) == {None}
    assert not await back.promote()
    assert await new.promote()
    assert not await cleaner.step()
    await _fill(back, OLD)
    assert await back.promote()
    await _assert_all_known(client)
    with pytest.raises(SupersededError):
        await new.promote()
    assert not await cleaner.step()
    # Told to go back once, not whenever it attaches to Redis.
    forth = await _registered(client, NEW, goes_back=True)
    await _fill(forth, NEW)
    assert await forth.promote()
    with pytest.raises(SupersededError):
        await back.register()


async def test_generation_that_is_being_built_is_not_deleted(
    client: Redis, old: ReadModelWriter
) -> None:
    """An older one that is started again beside it cleans up nothing that is newer."""
    building = await _registered(client, NEW)
    await _fill(building, NEW)
    again = await _registered(client, OLD)
    assert await again.promote()
    assert not await GenerationCleaner(client, OLD).step()
    assert await old.promote()
    assert await building.promote()
    await _assert_all_known(client)


@pytest.mark.usefixtures("new")
async def test_generation_begun_anew_while_a_cleaner_was_paused_keeps_its_data(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cleaner saw before no longer holds when it deletes."""
    cleaner = GenerationCleaner(client, NEW)
    members = cleaner._members

    async def members_then_pause(index: str) -> list[bytes]:
        found = await members(index)
        if found and await client.zscore(OLD.superseded, "done") is None:
            await client.zadd(OLD.superseded, {"done": 0})
            back = await _registered(client, OLD, goes_back=True)
            await _fill(back, OLD)
            assert await back.promote()
        return found

    monkeypatch.setattr(cleaner, "_members", members_then_pause)
    await cleaner.step()
    await _assert_all_known(client)


@pytest.mark.parametrize("first", [0, 1])
async def test_flush_does_not_make_the_older_one_newer(
    client: Redis, old: ReadModelWriter, first: int
) -> None:
    """Whoever notices the flush first; and one that comes afterwards is newer than both."""
    building = await _registered(client, NEW)
    await client.flushall()
    for writer in (old, building) if first else (building, old):
        await writer.register()
    await _fill(old, OLD)
    assert await old.promote()
    await _fill(building, NEW)
    assert await building.promote()
    with pytest.raises(SupersededError):
        await old.register()

    await client.flushall()
    late = await _registered(client, Keys("cafe0003"))
    await building.register()
    await _fill(building, NEW)
    assert await building.promote()
    await _fill(late, Keys("cafe0003"))
    assert await late.promote()


async def test_generation_of_an_earlier_release_is_taken_over_with_its_data(client: Redis) -> None:
    """Such a one has no ordinal yet; a process of that release may take it away again."""
    await client.zadd(OLD.generations, {OLD.generation: 0})
    writer = await _registered(client, OLD)
    await _fill(writer, OLD)
    assert await writer.promote()
    await client.zadd(OLD.generations, {OLD.generation: 0})
    again = await _registered(client, OLD)
    assert await again.promote()
    assert not await GenerationCleaner(client, OLD).step()
    await _assert_all_known(client)
