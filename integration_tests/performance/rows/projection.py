"""How fast the projection rebuilds the read model, against writing the same bytes to Redis.

A state topic with what a city leaves (`state_log`), a Redis with nothing in it. Of an entity the
read model keeps its own record and those of its alerts, and enters them in indexes: one row has
only these on the topic, so both sides handle the same bytes. The other has the whole topic, some 23
records an entity, most of which the projection reads and lets go. Timelines, of which a real
rebuild has one entry an event, are not there.

The baseline writes the values that the projection wrote, under the same keys, with the same client,
in pipelines of SET, one after the other. Beside the ratio stands the baseline in pipelines of
another size. Both rates are taken in the same window: between the moments when a tenth and 99
hundredths are there; of the projection as an onlooker counts the keys, of the baseline after each
pipeline.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import redis
import redis.asyncio

from integration_tests.performance.processes import WrongResultError, at_moment, sample
from integration_tests.performance.row import Figure, Row
from integration_tests.performance.session import Session
from integration_tests.performance.state_log import ALL_KINDS, ENTITIES, PROJECTED, state_log
from services.contracts.state_keys import StateKind
from services.local.system import LocalSystem

PIPELINE = 128
"""Some more than the projection writes of the 2,000 records of a poll; what many programs use."""
LARGE_PIPELINE = 2_000
IN_LARGE_PIPELINES = f"entities_per_s_against_pipelines_of_{LARGE_PIPELINE}"
ROUNDS = 5
"""Of the baseline, which takes less than a second; their median counts."""
LOOK_SECONDS = 0.02
REBUILD_SECONDS_MAX = 300.0
FIRST_PART, LAST_PART = 0.10, 0.99

Stored = list[tuple[bytes, bytes]]
Kinds = frozenset[StateKind]
Counts = Sequence[tuple[float, int]]
"""Moments in seconds, and how much was there at each."""


def _window(counts: Counts) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return the moments between which a rate is taken, and what was there at them."""
    whole = counts[-1][1]
    begin = next(each for each in counts if each[1] >= FIRST_PART * whole)
    end = next(each for each in counts if each[1] >= LAST_PART * whole)
    # A quick run may write all in one pipeline: then the window is the whole.
    return (begin, end) if begin != end else (counts[0], end)


def rate(counts: Counts, entities: int) -> float:
    """Return entities a second within the window; ``counts`` may be of keys of several kinds."""
    (begin, begun), (end, ended) = _window(counts)
    return entities * (ended - begun) / counts[-1][1] / (end - begin)


def _rebuild(kinds: Kinds, session: Session) -> Figure:
    log = state_log(session, kinds)
    directory = session.directory / f"projection-{uuid.uuid4().hex[:8]}"
    system = LocalSystem(directory, session.bootstrap, session.redis_url, log.prefix)
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
                counts.append((time.time(), int(client.dbsize())))
                samples.append(sample(system.process("projection").pid, samples))
                if time.monotonic() > deadline or system.supervisor.check():
                    raise WrongResultError("the projection did not complete")
                time.sleep(LOOK_SECONDS)
            counts.append((time.time(), int(client.dbsize())))
        finally:
            system.stop()
        stored = _stored(client, "e")
        alerts = _stored(client, "a")
    if len(stored) != log.entities:
        raise WrongResultError(f"{len(stored)} of {log.entities} entities are projected")
    session.once(("stored", kinds), lambda: stored + alerts)
    (begin, begun), (end, ended) = _window(counts)
    done = log.entities * (ended - begun) / counts[-1][1]
    cpu = at_moment(samples, end * 1000) - at_moment(samples, begin * 1000)
    return Figure(
        rate(counts, log.entities),
        {
            "cpu_us_per_entity": cpu / done * 1e6,
            "seconds": end - begin,
            "bytes_per_entity": sum(len(value) for _, value in stored) / len(stored),
            "alerts": float(len(alerts)),
        },
    )


def _stored(client: redis.Redis, kind: str) -> Stored:
    """Return key and value of every record of a kind."""
    keys = list(client.scan_iter(f"*:{kind}:*", count=10_000))
    found: Stored = []
    for start in range(0, len(keys), 1_000):
        some = keys[start : start + 1_000]
        found += [
            (key, value)
            for key, value in zip(some, client.mget(some), strict=True)
            if isinstance(value, bytes)
        ]
    return found


def _raw_set(kinds: Kinds, session: Session) -> Figure:
    """Write what the projection wrote; measure it first where no rebuild was yet."""
    if not session.has(("stored", kinds)):
        _rebuild(kinds, session)
    stored: Stored = session.once(("stored", kinds), list)
    entities = state_log(session, kinds).entities
    rates = {
        size: [
            rate(asyncio.run(_set_all(session.redis_url, stored, size)), entities)
            for _ in range(ROUNDS)
        ]
        for size in (PIPELINE, LARGE_PIPELINE)
    }
    details = {IN_LARGE_PIPELINES: statistics.median(rates[LARGE_PIPELINE])}
    return Figure(statistics.median(rates[PIPELINE]), details)


async def _set_all(url: str, stored: Stored, size: int) -> Counts:
    """Write all in pipelines of ``size`` SET; return how much was there after each."""
    client = redis.asyncio.Redis.from_url(url)
    await client.flushall()
    counts = [(time.time(), 0)]
    for start in range(0, len(stored), size):
        pipeline = client.pipeline(transaction=False)
        some = stored[start : start + size]
        for key, value in some:
            pipeline.set(key, value)
        await pipeline.execute()
        counts.append((time.time(), counts[-1][1] + len(some)))
    written = int(await client.dbsize())
    await client.aclose()
    if written != len(stored):
        raise WrongResultError(f"{written} of {len(stored)} values are in Redis")
    return counts


_REBUILD = Row(
    name="projection_rebuild",
    ours=f"projection of {ENTITIES:,} entities of a city and their alerts into an empty Redis",
    baseline=f"the same values written by redis-py, pipelines of {PIPELINE} SET",
    unit="entities/s",
    note="only records that the read model keeps",
    measure=partial(_rebuild, PROJECTED),
    measure_baseline=partial(_raw_set, PROJECTED),
    must=0.4,
    goal=0.7,
    minutes=1.5,
    beside=(IN_LARGE_PIPELINES,),
)

ROWS = (
    _REBUILD,
    replace(
        _REBUILD,
        name="projection_of_a_city",
        ours=f"projection of {ENTITIES:,} entities of a city from all of their state topic into an "
        "empty Redis; no timelines",
        note="the whole state topic, of which the read model keeps a tenth",
        measure=partial(_rebuild, ALL_KINDS),
        measure_baseline=partial(_raw_set, ALL_KINDS),
        by_default=False,
    ),
)
