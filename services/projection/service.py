"""The life of the projection process: which generation to build, and when to start over."""

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis

from services.contracts import topics
from services.projection.metrics import ProjectionMonitor
from services.projection.projector import Projector
from services.projection.settings import ProjectionSettings
from services.projection.source import CommittedSource, PositionLostError
from services.readmodel.connection import TRANSIENT_ERRORS, assert_never_evicts, connect
from services.readmodel.errors import SupersededError
from services.readmodel.generations import GenerationCleaner
from services.readmodel.keys import Keys, generation_name
from services.readmodel.positions import TOPICS_READ
from services.readmodel.writer import ReadModelWriter
from services.runtime.logging import get_logger
from services.runtime.monitor import start_monitor
from services.runtime.topic_ids import topic_ids

REDIS_WAIT_SECONDS = 1.0
STAND_BY_SECONDS = 1.0
"""How often a superseded process shows that it is alive."""

log = get_logger(__name__)


async def run(settings: ProjectionSettings, stop: asyncio.Event) -> None:
    """Project until ``stop``; topics that are created anew get a new generation.

    Raises UnsafeRedisError when Redis may evict keys, ConfigurationError when metrics cannot be
    served where the settings say, and what `Projector.run` raises.
    """
    monitor = ProjectionMonitor()
    start_monitor(settings.metrics, "projection", monitor.condition, monitor)
    client = connect(settings.redis_url)
    try:
        await _wait_for_safe_redis(client, stop)
        while not stop.is_set():
            await _project_generation(settings, client, stop, monitor)
    finally:
        await client.aclose()
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)


async def _project_generation(
    settings: ProjectionSettings, client: Redis, stop: asyncio.Event, monitor: ProjectionMonitor
) -> None:
    """Project one generation until ``stop`` or until a topic was created anew."""
    ids = await _ids(settings)
    keys = Keys(generation_name(ids), settings.namespace)
    source = CommittedSource(settings.kafka_bootstrap_servers, settings.partitions)
    projector = Projector(
        source,
        ReadModelWriter(client, keys, goes_back=settings.go_back),
        GenerationCleaner(client, keys),
        keys,
        partitions=settings.partitions,
        poll_records_max=settings.poll_records_max,
        heads_interval_seconds=settings.heads_interval_seconds,
    )
    monitor.figures = projector.figures
    over = asyncio.Event()
    helpers = [
        asyncio.create_task(_forward(stop, over)),
        asyncio.create_task(_watch_ids(settings, ids, over)),
        asyncio.create_task(_announce(settings.ready_file, projector.complete)),
    ]
    await source.start()
    try:
        await projector.run(over)
    except PositionLostError:
        if await _ids(settings) == ids:
            raise
        log.warning("topics_created_anew", generation=keys.generation)
    except SupersededError as error:
        log.warning("generation_superseded", generation=keys.generation, by=error.by)
        projector.figures.superseded = True
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
        await _stand_by(projector, over)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await source.stop()


async def _stand_by(projector: Projector, over: asyncio.Event) -> None:
    """Do nothing until ``over``: ending would have a supervisor start it again and again."""
    while not over.is_set():
        projector.figures.loop_alive = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), STAND_BY_SECONDS)


async def _wait_for_safe_redis(client: Redis, stop: asyncio.Event) -> None:
    said = False
    while not stop.is_set():
        try:
            await assert_never_evicts(client)
        except TRANSIENT_ERRORS as error:
            if not said:
                log.warning("waiting_for_redis", error=str(error))
            said = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REDIS_WAIT_SECONDS)
        else:
            return


async def _ids(settings: ProjectionSettings) -> dict[str, str]:
    names = {topics.name(topic): topic for topic in TOPICS_READ}
    found = await asyncio.to_thread(topic_ids, settings.kafka_bootstrap_servers, list(names))
    return {names[name]: topic_id for name, topic_id in found.items()}


async def _watch_ids(
    settings: ProjectionSettings, ids: dict[str, str], over: asyncio.Event
) -> None:
    """Set ``over`` when a topic has another id than ``ids`` says."""
    while True:
        await asyncio.sleep(settings.topic_check_seconds)
        try:
            found = await _ids(settings)
        except Exception as error:  # noqa: BLE001 - kafka-python raises many kinds while a broker is away
            log.warning("topic_check_failed", error=str(error))
            continue
        if found != ids:
            log.warning("topics_created_anew", found=found)
            over.set()
            return


async def _forward(stop: asyncio.Event, over: asyncio.Event) -> None:
    await stop.wait()
    over.set()


async def _announce(ready_file: Path | None, complete: asyncio.Event) -> None:
    await complete.wait()
    log.info("read_model_complete")
    if ready_file is not None:
        partial = ready_file.with_name(f".{ready_file.name}.partial")
        partial.write_text(json.dumps({"service": "projection", "pid": os.getpid()}), "utf-8")
        partial.replace(ready_file)
