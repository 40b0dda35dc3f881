"""The read side when a part of it is away: it says so, and never that nothing is there."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from grpc import aio
from market_supervision.profiles.v1 import entity_profile_service_pb2 as api
from market_supervision.profiles.v1.entity_profile_pb2 import SourceFreshness
from redis.asyncio import Redis

from integration_tests.reading.changelog_writer import (
    ChangelogWriter,
    Unit,
    entity_state,
    timeline_entry,
    unit_of,
)
from integration_tests.reading.read_side import Client, ReadSide, Service, eventually, reason
from services.contracts import topics
from services.contracts.topics import PARTITIONS
from services.local.redis import LocalRedis
from services.readmodel.keys import partition_of
from services.readmodel.positions import all_done_fields
from services.streaming.meta import Applied

ENTITY = "regno:442000000000001"
REQUEST = api.GetEntityProfileRequest(name=f"entities/{ENTITY}")
NOW_SECONDS = 2.0
"""How old an answer may be while everything runs, on a busy machine."""


async def _freshness(client: Client) -> dict[str, SourceFreshness]:
    answer = await client.profiles.GetEntityProfile(REQUEST)
    return {entry.family: entry for entry in answer.freshness}


async def test_projection_stopped_shows_as_lag_within_two_seconds(side: ReadSide) -> None:
    """Answers go on, and say how old they are; they are fresh again when the projection is."""
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        unit = unit_of(ENTITY)
        unit.state(entity_state(ENTITY, "x"))
        await writer.commit([unit])
    projection = side.projection()
    projection.wait_ready()
    async with Client(side.profiles()) as client:

        async def fresh() -> bool:
            found = await _freshness(client)
            return all(entry.lag_seconds < NOW_SECONDS for entry in found.values())

        await eventually("all sources are current", fresh)
        projection.pause()
        before = {family: e.lag_seconds for family, e in (await _freshness(client)).items()}
        await asyncio.sleep(2.0)
        stopped = await _freshness(client)
        assert all(e.lag_seconds >= before[family] + 1.9 for family, e in stopped.items())

        projection.resume()
        await eventually("all sources are current again", fresh)


async def test_idle_source_ages_alone(side: ReadSide) -> None:
    """The time of its newest fact stays where it was; other families' go on, all are current."""
    bootstrap = side.environment["KAFKA_BOOTSTRAP_SERVERS"]
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    async with ChangelogWriter(bootstrap) as writer:
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            seen: list[dict[str, SourceFreshness]] = []
            for sources in (["complaints.v1", "penalties.v1"], ["complaints.v1"]):
                applied = {}
                for topic in sources:
                    sent = await producer.send_and_wait(
                        topics.name(topic), b"event", partition=partition_of(ENTITY)
                    )
                    applied[topic] = Applied(sent.offset + 1, sent.timestamp)
                unit = unit_of(ENTITY)
                unit.state(entity_state(ENTITY, f"after {len(seen)}"))
                await writer.commit([unit], applied)
                name, offset = f"after {len(seen)}", len(seen) + 1

                async def caught_up(
                    name: str = name, offset: int = offset
                ) -> dict[str, SourceFreshness] | None:
                    answer = await _answer(client)
                    if answer is None:
                        return None
                    found = {entry.family: entry for entry in answer.freshness}
                    named = answer.profile.registration.name.value == name
                    current = all(
                        e.lag_records == 0 and e.lag_seconds < NOW_SECONDS for e in found.values()
                    )
                    # Data come before the position that says so.
                    positioned = found["complaints"].next_offset == offset
                    return found if named and current and positioned else None

                seen.append(await eventually("the unit is answered, all current", caught_up))
                await asyncio.sleep(0.05)
    await producer.stop()

    first, second = seen
    assert second["complaints"].last_append_time.ToMilliseconds() > (
        first["complaints"].last_append_time.ToMilliseconds()
    )
    assert second["penalties"].last_append_time == first["penalties"].last_append_time
    assert not second["inspections"].HasField("last_append_time")


async def test_flushed_redis_is_unavailable_until_complete_never_not_found(
    side: ReadSide,
) -> None:
    """While the view is rebuilt no answer pretends that an entity does not exist."""
    entities = [f"regno:4420000000{number:05d}" for number in range(3_000)]
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        for start in range(0, len(entities), 500):
            units: dict[int, Unit] = {}
            for entity in entities[start : start + 500]:
                unit = units.setdefault(partition_of(entity), unit_of(entity))
                unit.state(entity_state(entity, entity))
                unit.entry(entity, timeline_entry(int(entity[-5:]), time_ms=1))
            await writer.commit(list(units.values()))
    side.projection(poll_records_max="200").wait_ready()
    redis = Redis.from_url(side.environment["REDIS_URL"])
    names = [f"entities/{entity}" for entity in entities[::30]]
    refusals: set[tuple[grpc.StatusCode, str]] = set()
    async with Client(side.profiles()) as client:
        for _ in range(2):
            await redis.flushall()
            deadline = time.monotonic() + 120
            unavailable = 0
            while True:
                assert time.monotonic() < deadline
                try:
                    batch = await client.profiles.BatchGetEntityProfiles(
                        api.BatchGetEntityProfilesRequest(names=names)
                    )
                except aio.AioRpcError as error:
                    refusals.add((error.code(), reason(error)))
                    unavailable += 1
                    continue
                assert all(result.HasField("response") for result in batch.results)
                if unavailable:
                    break
    await redis.aclose()

    assert refusals == {(grpc.StatusCode.UNAVAILABLE, "NOT_READY")}


async def test_redis_that_loads_an_older_snapshot_answers_nobody_until_it_is_brought_up_to_date(
    side: ReadSide, run_directory: Path
) -> None:
    """What was answered once is never taken back, whatever a Redis finds on its disk."""
    redis = LocalRedis(run_directory / "redis")
    redis.start()
    side.environment["REDIS_URL"] = redis.url
    try:
        projection = side.projection()
        projection.wait_ready()
        bootstrap = side.environment["KAFKA_BOOTSTRAP_SERVERS"]
        async with ChangelogWriter(bootstrap) as writer, Client(side.profiles()) as asked:
            await _name_entity(writer, "before")
            await eventually("the first is answered", lambda: _is_named(asked, "before"))
            client = Redis.from_url(redis.url)
            await client.save()
            await client.aclose()
            await _name_entity(writer, "after")
            await eventually("the second is answered", lambda: _is_named(asked, "after"))
            projection.pause()
            redis.kill()
            redis.start()
            told: set[tuple[grpc.StatusCode, str]] = set()
            for _ in range(20):
                try:
                    await asked.profiles.GetEntityProfile(REQUEST)
                except aio.AioRpcError as error:
                    told.add((error.code(), reason(error)))
                else:
                    told.add((grpc.StatusCode.OK, ""))
            projection.resume()

            async def answered() -> str:
                answer = await asked.profiles.GetEntityProfile(REQUEST)
                return answer.profile.registration.name.value

            first = await eventually("it answers again", answered)
    finally:
        side.end()
        redis.stop()

    assert told == {(grpc.StatusCode.UNAVAILABLE, "NOT_READY")}
    assert first == "after"


async def _name_entity(writer: ChangelogWriter, name: str) -> None:
    unit = unit_of(ENTITY)
    unit.state(entity_state(ENTITY, name))
    await writer.commit([unit])


async def _answer(client: Client) -> api.GetEntityProfileResponse | None:
    """Return what is answered; None while what was committed first is not projected yet."""
    try:
        return await client.profiles.GetEntityProfile(REQUEST)
    except aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise


async def _is_named(client: Client, name: str) -> bool:
    answer = await _answer(client)
    return answer is not None and answer.profile.registration.name.value == name


async def test_full_redis_detaches_the_projection_and_costs_no_record(
    side: ReadSide, run_directory: Path
) -> None:
    """What did not fit is written when there is room: the read model equals a rebuilt one."""
    server = LocalRedis(run_directory / "redis")
    server.start()
    side.environment["REDIS_URL"] = server.url
    bootstrap = side.environment["KAFKA_BOOTSTRAP_SERVERS"]
    address = run_directory / "projection.metrics.json"
    redis = Redis.from_url(server.url)
    try:
        projection = side.projection(metrics__port="0", metrics__address_file=str(address))
        projection.wait_ready()
        port = json.loads(address.read_text())["port"]
        assert await asyncio.to_thread(_state_of, port) == (200, "following")
        used = int((await redis.info("memory"))["used_memory"])
        await redis.config_set("maxmemory", used + 300_000)
        async with ChangelogWriter(bootstrap) as writer:
            for start in range(0, 600, 100):
                units: dict[int, Unit] = {}
                for number in range(start, start + 100):
                    entity = f"regno:44200000000{number:04d}"
                    unit = units.setdefault(partition_of(entity), unit_of(entity))
                    unit.state(entity_state(entity, os.urandom(1_000).hex()))
                    unit.entry(entity, timeline_entry(number, time_ms=number))
                await writer.commit(list(units.values()))

        async def detached() -> bool:
            return await asyncio.to_thread(_state_of, port) == (503, "detached")

        await eventually("Redis is full", detached)
        await asyncio.sleep(NOW_SECONDS)
        assert await detached()
        assert projection.process.poll() is None
        assert (await _positions(redis))[0].items() & (await _ends(bootstrap)).items() != (
            await _ends(bootstrap)
        ).items()
        await redis.config_set("maxmemory", 0)
        at_the_end = partial(_content_at_the_end, bootstrap, redis)
        found = await eventually("all is projected", at_the_end)
        assert await asyncio.to_thread(_state_of, port) == (200, "following")
        await redis.flushall()
        assert await eventually("all is rebuilt", at_the_end) == found
    finally:
        await redis.aclose()
        side.end()
        server.stop()


async def test_superseded_projection_says_so_once_writes_nothing_and_comes_back_when_told_to(
    side: ReadSide, run_directory: Path
) -> None:
    """It goes on living, not ready; nor does a start by a supervisor make it the newest."""
    redis = Redis.from_url(side.environment["REDIS_URL"])
    addresses = [run_directory / f"metrics-{number}.json" for number in range(3)]

    def start(number: int, **settings: str) -> Service:
        file = str(addresses[number])
        return side.projection(metrics__port="0", metrics__address_file=file, **settings)

    async def is_at(number: int, state: tuple[int, str]) -> bool:
        if not addresses[number].exists():
            return False
        port = json.loads(addresses[number].read_text())["port"]
        return await asyncio.to_thread(_state_of, port) == state

    first = start(0)
    first.wait_ready()
    serving: Any = await redis.get("ms:serving:3")
    # What the promotion of a newer generation leaves, whatever its form of records.
    await redis.set("ms:promoted", "2000000000000000@cafe0002")
    await eventually("it stands back", lambda: is_at(0, (503, "superseded")))
    assert not first.ready_file.exists()
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        await _name_entity(writer, "after")
    second = start(1)
    await eventually("the second stands back", lambda: is_at(1, (503, "superseded")))
    await asyncio.sleep(NOW_SECONDS)
    assert first.process.poll() is None
    assert first.log.read_text().count('"generation_superseded"') == 2
    assert not [key async for key in redis.scan_iter("*:e:*")]
    first.stop()
    second.stop()

    start(2, go_back="true").wait_ready()
    await eventually("it follows", lambda: is_at(2, (200, "following")))
    promoted: Any = await redis.get("ms:promoted")
    assert promoted.partition(b"@")[2] == serving.partition(b"@")[0]
    assert len([key async for key in redis.scan_iter("*:e:*")]) == 1
    await redis.aclose()


def _state_of(port: int) -> tuple[int, str]:
    """Ask a service whether it is ready: status, and what it says it does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return answer.status, json.load(answer)["state"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["state"]
    except OSError:
        return 0, ""  # asked too often at once: it takes few requests at a time


async def test_rebuilt_read_model_equals_the_live_one(side: ReadSide) -> None:
    """Projected live, in pieces, by restarted projections, or from offset 0: the same content."""
    bootstrap, url = side.environment["KAFKA_BOOTSTRAP_SERVERS"], side.environment["REDIS_URL"]
    redis = Redis.from_url(url)
    async with ChangelogWriter(bootstrap) as writer:
        projection = side.projection()
        for step in range(20):
            units = []
            for number in range(5):
                entity = f"regno:44200000000{number:04d}"
                unit = unit_of(entity)
                unit.state(entity_state(entity, f"{step}"))
                unit.entry(entity, timeline_entry(step % 7, time_ms=1_000 * step, version=step))
                units.append(unit)
            await writer.commit(units[:1])
            for unit in units[1:]:
                await writer.commit([unit])
            if step == 10:
                projection.kill()
                projection = side.projection()
    projection.wait_ready()
    at_the_end = partial(_content_at_the_end, bootstrap, redis)
    live = await eventually("all is projected", at_the_end)
    await redis.flushall()
    rebuilt = await eventually("all is rebuilt", at_the_end)
    await redis.aclose()

    assert rebuilt == live


async def _content_at_the_end(bootstrap: str, redis: Redis) -> dict[bytes, object] | None:
    """Read Redis once it is complete: before that, a reading would mix two moments."""
    run = (await redis.info("server"))["run_id"]
    done = {name.encode(): run.encode() for name in all_done_fields()}
    expected = {**await _ends(bootstrap), **done}
    if await _positions(redis) != [expected] or not await redis.exists("ms:serving:3"):
        return None
    return await _content(redis)


async def _content(redis: Redis) -> dict[bytes, object]:
    """Return everything in Redis but the positions, what only says when, and writes under way."""
    content: dict[bytes, object] = {}
    async for key in redis.scan_iter(count=1000):
        if b":w:" in key:
            continue
        kind = await redis.type(key)
        if kind == b"string":
            content[key] = await redis.get(key)
        elif kind == b"zset":
            content[key] = await redis.zrange(key, 0, -1)
        elif not key.endswith(b":pos"):
            content[key] = await redis.hgetall(key)
    return content


async def _positions(redis: Redis) -> list[dict[bytes, bytes]]:
    """Return how far each read model in Redis is, without heads and META, which say only when."""
    found = []
    async for key in redis.scan_iter(match="*:pos", count=1000):
        fields: dict[Any, Any] = await redis.hgetall(key)
        said = {n: v for n, v in fields.items() if not n.endswith((b"heads", b"meta"))}
        found.append(said)
    return found


async def _ends(bootstrap: str) -> dict[bytes, bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    names = {topics.name(t): t for t in ("lifecycle.v1", "timeline.v1", "links.v1")}
    places = [TopicPartition(name, p) for name in names for p in range(PARTITIONS)]
    consumer.assign(places)
    consumer.pause(*places)
    ends = await consumer.end_offsets(places)
    await consumer.stop()
    return {f"{p.partition}|{names[p.topic]}".encode(): str(e).encode() for p, e in ends.items()}
