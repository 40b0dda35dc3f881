"""The full system over so many entities: processor time, recovery, memory.

Two events an entity (its establishment and an inspection it passed), through the lifecycle worker
with all rules, projection and Redis running. Then the worker's local stores are deleted and it
recovers from the changelog.
"""

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import redis
from aiokafka import AIOKafkaProducer
from market_supervision.inspections.v1.inspections_events_pb2 import (
    INSPECTION_RESULT_PASS,
    PLACE_TYPE_CATERING,
)

from integration_tests.intake.support import inspection, uscc
from integration_tests.performance.city_run import is_drained, taken_by
from integration_tests.performance.log_reading import read_progress
from integration_tests.performance.peer_fold import REPORTED_PART
from integration_tests.performance.peer_log import delete_topics
from integration_tests.performance.processes import Sample, WrongResultError, at_moment, sample
from integration_tests.performance.recovery_log import recovery_in
from integration_tests.performance.session import Session
from integration_tests.system.support import publish_rules
from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES, FamilyEvent, family_of
from services.contracts.key_schemes import load_key_schemes
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.intake.pipeline import Pipeline, Prepared
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.runtime.clock import now_ms
from services.runtime.kafka_topics import ensure_topics

EVENTS_PER_ENTITY = 2
WORKER, PROJECTION = "lifecycle-0", "projection"
ALL_DAYS = 36_500
SENT_AT_ONCE = 2_000
LOOK_SECONDS = 0.1
SECONDS_PER_EVENT_MAX = 0.02
SECONDS_MIN = 300.0


@dataclass(frozen=True, slots=True)
class Size:
    """What one size cost."""

    entities: int
    cpu_us_per_event: float
    recovery_us_per_record: float
    bytes_per_entity: float
    all_processes_gib: float
    events_per_s: float


def size_of(session: Session, entities: int) -> Size:
    """Run the system over so many entities, once a session."""
    scaled = session.scaled(entities)
    return session.once(("growth", scaled), lambda: _measure(session, scaled))


def _events(entities: int) -> Iterator[FamilyEvent]:
    for number in range(entities):
        established = load_example("registration", "entity_established")
        established.envelope.entity_key.scheme = "uscc"
        established.envelope.entity_key.value = uscc(number)
        established.envelope.source_record_id = f"DJ-{number}"
        yield established
        passed = inspection(number, entity=number)
        passed.inspection_completed.result = INSPECTION_RESULT_PASS
        passed.inspection_completed.place_type = PLACE_TYPE_CATERING
        yield passed


async def _write(bootstrap: str, entities: int) -> None:
    schemes, codes = load_key_schemes(), load_code_tables()
    pipelines = {
        family.name: Pipeline(family, schemes, codes, lambda _event, sent_key: sent_key)
        for family in FAMILIES
    }
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=5, max_batch_size=1 << 18
    ) as producer:
        sent = []
        for event in _events(entities):
            family = family_of(event)
            prepared = pipelines[family.name].prepare(
                event, now_ns=now_ms() * 1_000_000, client="bench"
            )
            assert isinstance(prepared, Prepared), prepared
            key, value, headers = prepared.record
            sent.append(
                await producer.send(
                    topics.name(family.topic), value, key=key, headers=list(headers)
                )
            )
            if len(sent) >= SENT_AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)


@contextmanager
def _topics(session: Session) -> Iterator[str]:
    prefix = f"growth-{uuid.uuid4().hex[:8]}."
    before = os.environ.get(TOPIC_PREFIX_VARIABLE, "")
    os.environ[TOPIC_PREFIX_VARIABLE] = prefix
    made: list[str] = []
    try:
        made = ensure_topics(session.bootstrap)
        publish_rules(session.bootstrap, max_age_days=ALL_DAYS)
        yield prefix
    finally:
        delete_topics(session.bootstrap, made)
        os.environ[TOPIC_PREFIX_VARIABLE] = before


def _measure(session: Session, entities: int) -> Size:
    with _topics(session) as prefix, redis.Redis.from_url(session.redis_url) as client:
        client.flushall()
        directory = session.directory / prefix.strip(".")
        system = LocalSystem(directory, session.bootstrap, session.redis_url, prefix)
        try:
            system.start(PROJECTION, WORKER)
            system.wait_worker()
            empty = _held(system, client)
            system.supervisor.stop(WORKER)
            asyncio.run(_write(session.bootstrap, entities))
            system.start(WORKER)
            samples = _drain(system, entities * EVENTS_PER_ENTITY)
            _wait_projected(client, prefix, entities)
            full = _held(system, client)
            whole = _resident_of_all(system, session, client)
            cpu_us, rate = _cost(session.bootstrap, samples, entities * EVENTS_PER_ENTITY)
            recovery = _recover(system)
        finally:
            system.stop()
            client.flushall()
            shutil.rmtree(directory, ignore_errors=True)
    return Size(
        entities=entities,
        cpu_us_per_event=cpu_us,
        recovery_us_per_record=recovery,
        bytes_per_entity=(full - empty) / entities,
        all_processes_gib=whole / (1 << 30),
        events_per_s=rate,
    )


def _drain(system: LocalSystem, records: int) -> list[Sample]:
    """Wait until the worker took everything; return what was seen of it."""
    samples: list[Sample] = []
    deadline = time.monotonic() + max(SECONDS_MIN, records * SECONDS_PER_EVENT_MAX)
    while time.monotonic() < deadline:
        samples.append(sample(system.process(WORKER).pid, samples))
        if is_drained(system.worker_status(WORKER), records):
            return samples
        for exited in system.supervisor.check():
            raise WrongResultError(f"{WORKER} ended with {exited.exit_code}")
        time.sleep(LOOK_SECONDS)
    raise WrongResultError(f"{taken_by(system.worker_status(WORKER))} of {records} are drained")


def _cost(bootstrap: str, samples: list[Sample], records: int) -> tuple[float, float]:
    """Return processor time of an event in microseconds, and events a second."""
    moments = poll_until(
        lambda: _whole(bootstrap, records), timeout_seconds=SECONDS_MIN, what="all is applied"
    )
    begin_ms, begun = next(each for each in moments if each[1] >= records // REPORTED_PART)
    end_ms, ended = moments[-1]
    cpu_s = at_moment(samples, end_ms) - at_moment(samples, begin_ms)
    return cpu_s / (ended - begun) * 1e6, (ended - begun) / (end_ms - begin_ms) * 1000


def _whole(bootstrap: str, records: int) -> list[tuple[int, int]]:
    moments = read_progress(bootstrap, topics.name("lifecycle.v1"), topics.name("control.v1"))
    return moments if moments and moments[-1][1] == records else []


def _wait_projected(client: redis.Redis, prefix: str, entities: int) -> None:
    """Wait until Redis holds every entity and nothing is added any more."""
    pattern = f"{prefix.strip('.')}:*:e:*"

    def projected() -> bool:
        return sum(1 for _ in client.scan_iter(pattern, count=10_000)) >= entities

    poll_until(
        projected,
        timeout_seconds=max(SECONDS_MIN, entities * SECONDS_PER_EVENT_MAX),
        what=f"{entities} entities are projected",
        interval_seconds=2.0,
    )


def _held(system: LocalSystem, client: redis.Redis) -> int:
    """Return the bytes that the worker, the projection and the contents of Redis take."""
    services = sum(_resident(system.process(name).pid) for name in (WORKER, PROJECTION))
    return services + int(client.info("memory")["used_memory"])


def _resident_of_all(system: LocalSystem, session: Session, client: redis.Redis) -> int:
    """Return the bytes resident in worker, projection, Redis and broker."""
    pids = [system.process(name).pid for name in (WORKER, PROJECTION)]
    in_redis = int(client.info("memory")["used_memory_rss"])
    return sum(_resident(pid) for pid in (*pids, session.kafka_pid)) + in_redis


def _resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _recover(system: LocalSystem) -> float:
    """Let a worker without any local store recover; return microseconds a record."""
    log_file = system.process(WORKER).log_file
    system.supervisor.stop(WORKER)
    shutil.rmtree(system.run_directory / "data" / WORKER)
    log_file.unlink()
    system.start(WORKER)
    system.wait_worker()
    recovery = recovery_in(log_file)
    return recovery.restored_s / recovery.records * 1e6
