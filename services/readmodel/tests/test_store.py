"""Writer and reader on a real Redis."""

import asyncio

import pytest
from market_supervision.alerts.v1.alert_pb2 import Alert, AlertState, Severity
from market_supervision.lifecycle.v1.state_pb2 import AlertThread, EntityState, LinkRecord
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from services.contracts.topics import PARTITIONS
from services.readmodel import alert_index, record
from services.readmodel.connection import assert_never_evicts
from services.readmodel.errors import NotReadyError, UnsafeRedisError
from services.readmodel.generations import GenerationCleaner
from services.readmodel.keys import LINKS_INDEX, Keys, partition_of
from services.readmodel.pointers import Pointer
from services.readmodel.positions import LIFECYCLE, LINKS, TIMELINE, TOPICS_READ, Heads
from services.readmodel.reader import ReadModelReader
from services.readmodel.record import Term
from services.readmodel.writer import Mismatch, ReadModelWriter, TimelineFact, TopicBatch

ENTITY = "regno:442000000000001"
PARTITION = partition_of(ENTITY)


def _state_batch(
    keys: Keys, offset: int, name: str, *, expected: int | None, entity: str = ENTITY
) -> TopicBatch:
    batch = TopicBatch(partition_of(entity), LIFECYCLE, expected, offset + 1)
    state = EntityState(entity_key=entity, linked_to=name)
    terms = [Term(f"entities:{batch.partition}", entity.encode())]
    batch.records[keys.entity(entity)] = record.encode(offset, terms, state.SerializeToString())
    return batch


def _timeline_batch(*facts: TimelineFact, expected: int | None = None) -> TopicBatch:
    last = max(fact.pointer.offset for fact in facts)
    batch = TopicBatch(PARTITION, TIMELINE, expected, last + 1)
    batch.timelines[ENTITY] = list(facts)
    return batch


def _fact(number: int, time_ms: int, offset: int, message: bytes | None = None) -> TimelineFact:
    pointer = Pointer(time_ms, number.to_bytes(8, "big"), offset)
    return TimelineFact(pointer, f"{number}@{offset}".encode() if message is None else message)


def _alert_batch(keys: Keys, offset: int, alert: Alert, expected: int | None = None) -> TopicBatch:
    batch = TopicBatch(PARTITION, LIFECYCLE, expected, offset + 1)
    value = AlertThread(alert=alert).SerializeToString()
    terms = alert_index.terms(alert)
    batch.records[keys.alert(alert.alert_id)] = record.encode(offset, terms, value)
    return batch


def _alert(
    number: int,
    *,
    state: AlertState.ValueType = AlertState.ALERT_STATE_OPEN,
    raised_ms: int = 1_000,
) -> Alert:
    made = Alert(
        alert_id=f"{number:032x}",
        entity_key=ENTITY,
        severity=Severity.SEVERITY_YELLOW,
        state=state,
    )
    made.raised_time.FromMilliseconds(raised_ms)
    return made


async def _serve(writer: ReadModelWriter) -> None:
    """Mark every partition complete and let the generation answer."""
    at = await writer.positions(range(PARTITIONS))
    batches = [
        TopicBatch(p, topic, at[p, topic], at[p, topic] or 0, done=True)
        for p in range(PARTITIONS)
        for topic in TOPICS_READ
    ]
    assert await writer.write(batches) == []
    assert await writer.promote()


@pytest.fixture
async def writer(client: Redis, keys: Keys) -> ReadModelWriter:
    """Return a writer of an empty generation."""
    made = ReadModelWriter(client, keys, newest_entries_kept=2)
    await made.register()
    return made


async def test_reader_without_a_complete_generation_is_not_ready(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """Nothing is answered, above all not "not there", before every partition is complete."""
    reader = ReadModelReader(client)
    await writer.write([_state_batch(keys, 0, "x", expected=None)])
    assert not await writer.promote()
    with pytest.raises(NotReadyError):
        await reader.entities([ENTITY])

    await _serve(writer)
    (found,) = await reader.entities([ENTITY])
    assert found.state is not None


async def test_older_record_of_a_late_writer_loses(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A projector that lags or was paused changes nothing, and is told where Redis is."""
    late = ReadModelWriter(client, keys)
    await writer.write([_state_batch(keys, 7, "new", expected=None)])
    refused = await late.write([_state_batch(keys, 3, "old", expected=None)])
    await _serve(writer)

    assert refused == [Mismatch(PARTITION, LIFECYCLE, 8)]
    (found,) = await ReadModelReader(client).entities([ENTITY])
    assert found.state is not None
    assert found.state.linked_to == "new"


async def test_position_after_a_flush_is_refused_and_ends_serving(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A batch written into a flushed Redis does not pretend that what came before is there."""
    await writer.write([_state_batch(keys, 0, "a", expected=None)])
    await _serve(writer)
    await client.delete(keys.positions)
    refused = await writer.write([_state_batch(keys, 1, "b", expected=1)])

    assert refused == [Mismatch(PARTITION, LIFECYCLE, None)]
    with pytest.raises(NotReadyError):
        await ReadModelReader(client).entities([ENTITY])


async def test_what_another_run_of_redis_found_complete_does_not_serve(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A Redis that loaded an older snapshot has both marks and serving, of the run before."""
    await _serve(writer)
    expected = f"{keys.generation}@{await writer.run()}"
    assert await client.get(keys.serving) == expected.encode()
    await client.set(keys.serving, keys.generation + "@" + "0" * 40)
    with pytest.raises(NotReadyError):
        await ReadModelReader(client).check_ready()
    assert await writer.promote()

    await client.hset(keys.positions, f"{PARTITION}|{LINKS}|done", "0" * 40)
    assert not await writer.promote()


async def test_reader_of_an_earlier_form_is_told_that_nothing_is_complete(
    client: Redis, writer: ReadModelWriter
) -> None:
    """Its generation is deleted when another serves: it must not answer that nothing is known."""
    await client.set("ms:serving", "earlier")
    await _serve(writer)
    assert await client.get("ms:serving") is None
    await ReadModelReader(client).check_ready()


async def test_beat_of_an_idle_projection_notices_lost_positions(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A flush is found within a heartbeat although no record comes."""
    await _serve(writer)
    expected = await writer.positions(range(PARTITIONS))
    heads = {p: Heads(1, {"t": 0}) for p in range(PARTITIONS)}
    assert await writer.beat(heads, expected) == []

    await client.hdel(keys.positions, f"{PARTITION}|{LINKS}")
    assert await writer.beat(heads, expected) == [PARTITION]
    with pytest.raises(NotReadyError):
        await ReadModelReader(client).check_ready()


async def test_reader_that_meets_a_generation_change_while_waiting_asks_again(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """Calls at the same time never take an answer of one generation for that of another."""
    await writer.write([_state_batch(keys, 0, "a", expected=None)])
    await _serve(writer)
    for _ in range(20):
        reader = ReadModelReader(client)
        found = await asyncio.gather(*(reader.entities([ENTITY]) for _ in range(10)))
        assert all(readings[0].state is not None for readings in found)


async def test_index_terms_that_no_longer_hold_are_removed(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A closed alert leaves the index of open ones, and keeps its place in the others."""
    await writer.write([_alert_batch(keys, 0, _alert(1))])
    await writer.write(
        [_alert_batch(keys, 1, _alert(1, state=AlertState.ALERT_STATE_CLOSED), expected=1)]
    )
    await _serve(writer)
    reader = ReadModelReader(client)
    names = ["alerts", "alerts:state:1", "alerts:state:2", f"alerts:entity:{ENTITY}"]

    assert await reader.index_sizes(names) == [1, 0, 1, 1]


async def test_link_moves_an_alias_and_its_withdrawal_removes_it(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """Both keys name the other while the link stands, neither afterwards."""
    reader = ReadModelReader(client)
    for offset, to_key in enumerate(["uscc:1", "uscc:2", ""]):
        batch = TopicBatch(PARTITION, LINKS, offset or None, offset + 1)
        terms = [Term(LINKS_INDEX, ENTITY.encode())]
        if to_key:
            terms.append(Term(f"aliases:{to_key}", ENTITY.encode()))
        value = LinkRecord(from_key=ENTITY, to_key=to_key).SerializeToString()
        batch.records[keys.link(ENTITY)] = record.encode(offset, terms, value)
        assert await writer.write([batch]) == []
        if offset == 0:
            await _serve(writer)
        found = await reader.entities([ENTITY, "uscc:1", "uscc:2"])

        assert found[0].linked_to == to_key
        assert [f.aliases for f in found[1:]] == [
            (ENTITY,) if key == to_key else () for key in ("uscc:1", "uscc:2")
        ]


async def test_timeline_corrected_fact_moves_and_keeps_one_place(
    client: Redis, writer: ReadModelWriter
) -> None:
    """A correction replaces its fact, wherever in time it now stands; an older copy loses."""
    await writer.write([_timeline_batch(_fact(1, 100, 0), _fact(2, 200, 1), _fact(3, 300, 2))])
    await writer.write([_timeline_batch(_fact(1, 400, 3), expected=3)])
    await writer.write([_timeline_batch(_fact(1, 100, 0), expected=0)])
    await _serve(writer)

    page = await ReadModelReader(client).timeline(ENTITY, before=None, limit=10)

    assert [p.pointer for p in page.places] == [
        Pointer(400, (1).to_bytes(8, "big"), 3),
        Pointer(300, (3).to_bytes(8, "big"), 2),
        Pointer(200, (2).to_bytes(8, "big"), 1),
    ]


async def test_timeline_keeps_bytes_of_the_newest_only(
    client: Redis, writer: ReadModelWriter
) -> None:
    """Bytes are bounded; those of another version than the pointer's are never shown."""
    for offset in range(5):
        fact = _fact(offset, 100 * offset, offset)
        assert await writer.write([_timeline_batch(fact, expected=offset or None)]) == []
    await _serve(writer)
    reader = ReadModelReader(client)

    page = await reader.timeline(ENTITY, before=None, limit=10)
    assert [p.message for p in page.places] == [b"4@4", b"3@3", None, None, None]

    # The newest moves to the past: its bytes go, the next ones' are in the log.
    await writer.write([_timeline_batch(_fact(4, 5, 9), expected=5)])
    page = await reader.timeline(ENTITY, before=None, limit=10)
    assert [(p.pointer.offset, p.message) for p in page.places] == [
        (3, b"3@3"), (2, None), (1, None), (9, None), (0, None),
    ]  # fmt: skip
    pointer = await reader.timeline_pointer(ENTITY, (4).to_bytes(8, "big"))
    assert pointer == Pointer(5, (4).to_bytes(8, "big"), 9)


async def test_timeline_fact_moved_away_is_hidden_until_it_comes_back(
    client: Redis, writer: ReadModelWriter
) -> None:
    """A moved fact leaves no pointer, but a replay of its old version cannot bring it back."""
    await writer.write([_timeline_batch(_fact(1, 100, 0))])
    await writer.write([_timeline_batch(_fact(1, 100, 1, b""), expected=1)])
    await writer.write([_timeline_batch(_fact(1, 100, 0), expected=0)])
    await _serve(writer)
    reader = ReadModelReader(client)
    assert (await reader.timeline(ENTITY, before=None, limit=10)).places == ()

    await writer.write([_timeline_batch(_fact(1, 150, 2), expected=2)])
    page = await reader.timeline(ENTITY, before=None, limit=10)
    assert [p.message for p in page.places] == [b"1@2"]


async def test_timeline_pages_stay_stable_under_writes(
    client: Redis, writer: ReadModelWriter
) -> None:
    """Facts added between pages neither repeat nor hide any that was there before."""
    before = [_fact(n, 10 * (n // 3), n) for n in range(30)]
    await writer.write([_timeline_batch(*before)])
    await _serve(writer)
    reader = ReadModelReader(client)
    seen: list[int] = []
    place: bytes | None = None
    for step in range(10):
        page = await reader.timeline(ENTITY, before=place, limit=4)
        seen += [p.pointer.offset for p in page.places]
        if not page.places:
            break
        place = page.places[-1].pointer.place()
        number = 100 + step
        fact = _fact(number, 10 * step + 5, number)
        expected = 30 if not step else number
        assert await writer.write([_timeline_batch(fact, expected=expected)]) == []

    old = [offset for offset in seen if offset < 30]
    assert sorted(old) == list(range(30))
    assert len(set(seen)) == len(seen)


async def test_old_generation_is_deleted_without_searching(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A replaced generation leaves nothing behind, and the one that serves stays whole."""
    await writer.write(
        [
            _state_batch(keys, 0, "a", expected=None),
            _timeline_batch(*(_fact(n, n, n) for n in range(5))),
        ]
    )
    await writer.write([_alert_batch(keys, 1, _alert(1), expected=1)])
    link = TopicBatch(PARTITION, LINKS, None, 1)
    terms = [Term(LINKS_INDEX, b"a:1"), Term("aliases:b:2", b"a:1")]
    link.records[keys.link("a:1")] = record.encode(0, terms, b"")
    await writer.write([link])
    await _serve(writer)
    fresh = Keys("cafe0002")
    newer = ReadModelWriter(client, fresh)
    await newer.register()
    await newer.write([_state_batch(fresh, 0, "b", expected=None)])
    await _serve(newer)
    await client.config_resetstat()

    cleaner = GenerationCleaner(client, fresh)
    while await cleaner.step():
        pass

    commands = await client.info("commandstats")
    assert not {"cmdstat_keys", "cmdstat_scan", "cmdstat_smembers"} & commands.keys()
    left = [key.decode() async for key in client.scan_iter()]
    assert not [key for key in left if keys.generation in key]
    (found,) = await ReadModelReader(client).entities([ENTITY])
    assert found.state is not None
    assert found.state.linked_to == "b"


async def test_link_told_by_the_state_needs_no_link_record(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A receipt says that the state is there: the link is as fresh, wherever its record is."""
    await writer.write([_state_batch(keys, 0, "uscc:1", expected=None)])
    await _serve(writer)

    (found,) = await ReadModelReader(client).entities([ENTITY])
    assert found.linked_to == "uscc:1"


LONGEST_KEY = "regno:" + "粤" * 128
"""What a source may send at most: 390 bytes."""


async def test_longest_key_of_chinese_characters_is_kept_and_found(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """A key is bounded in characters, each of which takes three bytes; none stops the projector."""
    partition = partition_of(LONGEST_KEY)
    alert = _alert(1)
    alert.entity_key = LONGEST_KEY
    for offset in range(2):
        # Written twice: the second time the script takes the old terms apart.
        batch = _state_batch(keys, offset, str(offset), expected=offset or None, entity=LONGEST_KEY)
        value = AlertThread(alert=alert).SerializeToString()
        terms = alert_index.terms(alert)
        batch.records[keys.alert(alert.alert_id)] = record.encode(offset, terms, value)
        alert.state = AlertState.ALERT_STATE_CLOSED
        assert await writer.write([batch]) == []
    await _serve(writer)
    reader = ReadModelReader(client)

    (found,) = await reader.entities([LONGEST_KEY])
    assert found.state is not None
    assert found.state.linked_to == "1"
    names = [f"alerts:entity:{LONGEST_KEY}", "alerts:state:1", "alerts:state:2"]
    assert await reader.index_sizes(names) == [1, 0, 1]
    assert await client.zrange(keys.entities(partition), 0, -1) == [LONGEST_KEY.encode()]


async def test_flush_in_the_middle_of_a_question_is_not_ready(
    client: Redis, writer: ReadModelWriter, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that went away after the generation was asked for must not look like not there."""
    await writer.write([_state_batch(keys, 0, "a", expected=None)])
    await _serve(writer)
    reader = ReadModelReader(client)
    await reader.check_ready()
    pipeline = client.pipeline

    def flushing_after_the_first_command(*, transaction: bool) -> Pipeline:
        made = pipeline(transaction=transaction)
        get = made.get

        def get_then_flush(name: str) -> object:
            answer = get(name)
            if len(made) == 1:
                made.flushall()
            return answer

        monkeypatch.setattr(made, "get", get_then_flush)
        return made

    monkeypatch.setattr(client, "pipeline", flushing_after_the_first_command)
    with pytest.raises(NotReadyError):
        await reader.entities([ENTITY])


async def test_old_generation_with_records_of_another_form_is_deleted(
    client: Redis, writer: ReadModelWriter, keys: Keys
) -> None:
    """What an earlier release wrote does not stop the one that cleans up."""
    await writer.write([_alert_batch(keys, 0, _alert(1))])
    await client.set(keys.alert(_alert(1).alert_id), b"12345678\x01\xff")
    fresh = Keys("cafe0002")
    newer = ReadModelWriter(client, fresh)
    await newer.register()
    await _serve(newer)

    cleaner = GenerationCleaner(client, fresh)
    while await cleaner.step():
        pass

    assert await client.exists(keys.alert(_alert(1).alert_id), keys.positions) == 0


async def test_redis_that_may_evict_is_refused(client: Redis) -> None:
    """Evicted keys would look like entities that were never there."""
    await assert_never_evicts(client)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(UnsafeRedisError):
            await assert_never_evicts(client)
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
