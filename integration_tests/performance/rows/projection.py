"""How fast the projection rebuilds the read model, against writing the same bytes to Redis.

A changelog of entity states, a Redis with nothing in it. The rate is taken between the moments when
a tenth and 99 hundredths of all the read model's keys are there, as an onlooker counts them. The
baseline writes the values that the projection wrote, under the same keys, with the same client:
pipelines of as many SET as the projection takes from a poll, one after the other. Beside the ratio
stands the baseline in the pipelines of 128 that many programs use.
"""

import asyncio
import time
import uuid

import redis
import redis.asyncio
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.performance.processes import WrongResultError, at_moment, sample
from integration_tests.performance.row import Figure, Row
from integration_tests.performance.session import Session
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.reading.changelog_writer import (
    ChangelogWriter,
    Unit,
    entity_state,
    unit_of,
)
from services.local.system import LocalSystem
from services.projection.settings import ProjectionSettings
from services.readmodel.keys import partition_of
from services.runtime.kafka_topics import ensure_topics

ENTITIES = 150_000
UNIT_ENTITIES = 10_000
CLAIMS = 8
"""Attributes of a state, which make it some 700 bytes, as a city's entity has."""
PIPELINE = ProjectionSettings.model_fields["poll_records_max"].default
SMALL_PIPELINE = 128
IN_SMALL_PIPELINES = f"entities_per_s_against_pipelines_of_{SMALL_PIPELINE}"
LOOK_SECONDS = 0.02
REBUILD_SECONDS_MAX = 300.0
FIRST_PART, LAST_PART = 0.10, 0.99

Stored = list[tuple[bytes, bytes]]


def _state(entity: str) -> state_pb2.EntityState:
    state = entity_state(entity, f"entity {entity}")
    for number in range(1, CLAIMS):
        claim = state.claims.add()
        claim.CopyFrom(state.claims[0])
        claim.value = f"claim {number} of {entity}, no. {number * 7919} of the east road"
    return state


async def _write_changelog(bootstrap: str, entities: int) -> None:
    async with ChangelogWriter(bootstrap) as writer:
        for start in range(0, entities, UNIT_ENTITIES):
            units: dict[int, Unit] = {}
            for number in range(start, min(start + UNIT_ENTITIES, entities)):
                entity = f"regno:{442_000_000_000_000 + number}"
                unit = units.setdefault(partition_of(entity), unit_of(entity))
                unit.state(_state(entity))
            await writer.commit(list(units.values()))


def _prefix(session: Session) -> str:
    """The prefix of the topics that hold the changelog, written once."""

    def make() -> str:
        prefix = f"projected-{uuid.uuid4().hex[:8]}."
        with prefixed(prefix):
            ensure_topics(session.bootstrap)
            asyncio.run(_write_changelog(session.bootstrap, session.scaled(ENTITIES)))
        return prefix

    return session.once("projected", make)


def _rebuild(session: Session) -> Figure:
    prefix, entities = _prefix(session), session.scaled(ENTITIES)
    directory = session.directory / f"projection-{uuid.uuid4().hex[:8]}"
    system = LocalSystem(directory, session.bootstrap, session.redis_url, prefix)
    ready_file = system.child("projection").ready_file
    assert ready_file is not None
    counts: list[tuple[float, int]] = []
    with redis.Redis.from_url(session.redis_url) as client:
        client.flushall()
        system.start("projection")
        samples = [sample(system.process("projection").pid, [])]
        deadline = time.monotonic() + REBUILD_SECONDS_MAX
        try:
            while not ready_file.exists():
                counts.append((time.time() * 1000, int(client.dbsize())))
                samples.append(sample(system.process("projection").pid, samples))
                if time.monotonic() > deadline or system.supervisor.check():
                    raise WrongResultError("the projection did not complete")
                time.sleep(LOOK_SECONDS)
            counts.append((time.time() * 1000, int(client.dbsize())))
        finally:
            system.stop()
        stored = _stored(client)
    if len(stored) != entities:
        raise WrongResultError(f"{len(stored)} of {entities} entities are projected")
    session.once("stored", lambda: stored)
    whole = counts[-1][1]
    begin_ms, begun = next(each for each in counts if each[1] >= FIRST_PART * whole)
    end_ms, ended = next(each for each in counts if each[1] >= LAST_PART * whole)
    done = entities * (ended - begun) / whole
    cpu = at_moment(samples, end_ms) - at_moment(samples, begin_ms)
    return Figure(
        done / (end_ms - begin_ms) * 1000,
        {
            "cpu_us_per_entity": cpu / done * 1e6,
            "seconds": (end_ms - begin_ms) / 1000,
            "bytes_per_entity": sum(len(value) for _, value in stored) / len(stored),
        },
    )


def _stored(client: redis.Redis) -> Stored:
    """Return every entity's key and value."""
    keys = list(client.scan_iter("*:e:*", count=10_000))
    found: Stored = []
    for start in range(0, len(keys), 1_000):
        some = keys[start : start + 1_000]
        found += [
            (key, value)
            for key, value in zip(some, client.mget(some), strict=True)
            if isinstance(value, bytes)
        ]
    return found


def _raw_set(session: Session) -> Figure:
    """Write what the projection wrote; measure it first where no rebuild was yet."""
    if not session.has("stored"):
        _rebuild(session)
    stored: Stored = session.once("stored", list)
    seconds, in_small = (
        asyncio.run(_set_all(session.redis_url, stored, size))
        for size in (PIPELINE, SMALL_PIPELINE)
    )
    details = {"seconds": seconds, IN_SMALL_PIPELINES: len(stored) / in_small}
    return Figure(len(stored) / seconds, details)


async def _set_all(url: str, stored: Stored, size: int) -> float:
    """Return the seconds that it takes to write all in pipelines of ``size`` SET."""
    client = redis.asyncio.Redis.from_url(url)
    await client.flushall()
    began = time.perf_counter()
    for start in range(0, len(stored), size):
        pipeline = client.pipeline(transaction=False)
        for key, value in stored[start : start + size]:
            pipeline.set(key, value)
        await pipeline.execute()
    seconds = time.perf_counter() - began
    written = int(await client.dbsize())
    await client.aclose()
    if written != len(stored):
        raise WrongResultError(f"{written} of {len(stored)} values are in Redis")
    return seconds


ROWS = (
    Row(
        name="projection_rebuild",
        ours="projection of entity states from the changelog into an empty Redis",
        baseline=f"the same values written by redis-py, pipelines of {PIPELINE} SET",
        unit="entities/s",
        measure=_rebuild,
        measure_baseline=_raw_set,
        must=0.4,
        goal=0.7,
        minutes=1.5,
        beside=(IN_SMALL_PIPELINES,),
    ),
)
