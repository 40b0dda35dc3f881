"""Profile queries a second: one projection's read model, one query process, many callers.

Run with the addresses of running servers, whose Redis holds a complete read model:

    KAFKA_BOOTSTRAP_SERVERS=… REDIS_URL=… python -m integration_tests.performance.profile_bench

Without them a broker and a Redis are started. Prints one line a case: calls a second, median and
99th percentile in milliseconds, and the machine's load.
"""

import asyncio
import os
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from market_supervision.profiles.v1 import entity_profile_service_pb2 as api

from integration_tests.reading.changelog_writer import (
    ChangelogWriter,
    Unit,
    entity_state,
    timeline_entry,
    unit_of,
)
from integration_tests.reading.read_side import Client, eventually, read_side
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.kafka import LocalKafka
from services.local.redis import LocalRedis
from services.readmodel.keys import partition_of
from services.runtime.kafka_topics import ensure_topics

ENTITIES = 10_000
ENTRIES = 60
SECONDS = 5.0
VIEW = api.EntityProfileView.ENTITY_PROFILE_VIEW_FULL


def _name(number: int) -> str:
    return f"regno:{442_000_000_000_000 + number}"


async def _fill(bootstrap: str) -> None:
    async with ChangelogWriter(bootstrap) as writer:
        for start in range(0, ENTITIES, 5_000):
            units: dict[int, Unit] = {}
            for number in range(start, start + 5_000):
                unit = units.setdefault(partition_of(_name(number)), unit_of(_name(number)))
                unit.state(entity_state(_name(number), f"entity {number}"))
            await writer.commit(list(units.values()))
        unit = unit_of(_name(0))
        for number in range(ENTRIES):
            unit.entry(_name(0), timeline_entry(number, time_ms=number))
        await writer.commit([unit])


async def _measure(
    what: str, callers: int, call: Callable[[int], Awaitable[object]], answers_a_call: int = 1
) -> None:
    times: list[float] = []
    until = time.monotonic() + SECONDS

    async def caller(number: int) -> None:
        while time.monotonic() < until:
            number = (number * 31 + 7) % ENTITIES
            started = time.monotonic()
            await call(number)
            times.append(time.monotonic() - started)

    started = time.monotonic()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    elapsed = time.monotonic() - started
    p99 = statistics.quantiles(times, n=100)[98]
    sys.stdout.write(
        f"{what:42} {callers:4} callers {len(times) * answers_a_call / elapsed:9.0f}/s "
        f"p50 {statistics.median(times) * 1000:7.1f} ms p99 {p99 * 1000:7.1f} ms "
        f"load {os.getloadavg()[0]:.1f}\n"
    )


async def _run(bootstrap: str, redis_url: str, directory: Path) -> None:
    await _fill(bootstrap)
    with read_side(bootstrap, redis_url, directory) as side:
        started = time.monotonic()
        side.projection().wait_ready()
        sys.stdout.write(
            f"projected {ENTITIES} entities in {time.monotonic() - started:.1f} s with start-up\n"
        )
        async with Client(side.profiles()) as client:
            get, batch = client.profiles.GetEntityProfile, client.profiles.BatchGetEntityProfiles
            timeline = client.profiles.ListTimelineEntries

            async def one(number: int) -> object:
                return await get(
                    api.GetEntityProfileRequest(name=f"entities/{_name(number)}", view=VIEW)
                )

            async def many(number: int) -> object:
                names = [f"entities/{_name((number + n) % ENTITIES)}" for n in range(100)]
                return await batch(api.BatchGetEntityProfilesRequest(names=names, view=VIEW))

            async def page(_number: int) -> object:
                return await timeline(
                    api.ListTimelineEntriesRequest(parent=f"entities/{_name(0)}", page_size=50)
                )

            await eventually("the first answer", lambda: one(0))
            await _measure("GetEntityProfile", 1, one)
            await _measure("GetEntityProfile", 64, one)
            await _measure("BatchGetEntityProfiles of 100, profiles", 8, many, 100)
            await _measure("ListTimelineEntries, 50 from the log", 1, page)
            await _measure("ListTimelineEntries, 50 from the log", 16, page)


def main() -> None:
    """Start what is missing, measure, stop it."""
    with ExitStack() as stack, TemporaryDirectory() as temporary:
        directory = Path(temporary)
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or (
            stack.enter_context(LocalKafka(directory / "kafka")).bootstrap_servers
        )
        url = os.environ.get("REDIS_URL") or (
            stack.enter_context(LocalRedis(directory / "redis")).url
        )
        os.environ[TOPIC_PREFIX_VARIABLE] = f"bench-{uuid.uuid4().hex[:8]}."
        ensure_topics(bootstrap)
        asyncio.run(_run(bootstrap, url, directory))


if __name__ == "__main__":
    main()
