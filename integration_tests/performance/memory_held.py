"""How much memory the full system holds, and how much when it has nothing to hold."""

import shutil
import uuid
from dataclasses import asdict, dataclass

import psutil
import redis

from integration_tests.performance.peer_log import delete_topics
from integration_tests.performance.session import Session
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.system.support import ALL_DAYS, publish_rules
from services.local.system import LocalSystem
from services.runtime.kafka_topics import ensure_topics

WORKER, PROJECTION = "lifecycle-0", "projection"


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes."""

    all: int
    """Resident in worker and projection, and the contents of Redis."""
    in_redis: int
    """The contents of Redis."""


def held(system: LocalSystem, client: redis.Redis) -> Held:
    """Look."""
    services = sum(_resident(system.process(name).pid) for name in (WORKER, PROJECTION))
    in_redis = int(client.info("memory")["used_memory"])
    return Held(services + in_redis, in_redis)


def resident_of_each(system: LocalSystem, session: Session, client: redis.Redis) -> dict[str, int]:
    """Return the bytes resident in worker, projection, Redis and broker."""
    return {
        "worker": _resident(system.process(WORKER).pid),
        "projection": _resident(system.process(PROJECTION).pid),
        "redis": int(client.info("memory")["used_memory_rss"]),
        "broker": _resident(session.kafka_pid),
    }


def when_idle(session: Session) -> Held:
    """Return what a system without any event holds, measured once."""

    def make() -> dict[str, int]:
        prefix = f"idle-{uuid.uuid4().hex[:8]}."
        directory = session.directory / prefix.strip(".")
        with prefixed(prefix), redis.Redis.from_url(session.redis_url) as client:
            client.flushall()
            made = ensure_topics(session.bootstrap)
            publish_rules(session.bootstrap, max_age_days=ALL_DAYS)
            system = LocalSystem(directory, session.bootstrap, session.redis_url, prefix)
            try:
                system.start(PROJECTION, WORKER)
                system.wait_worker()
                return asdict(held(system, client))
            finally:
                system.stop()
                delete_topics(session.bootstrap, made)
                shutil.rmtree(directory, ignore_errors=True)

    return Held(**session.kept.once("held when idle", make))


def _resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)
