"""The full system over so many entities: processor time, recovery, memory.

The lifecycle worker with all rules, projection and Redis running. Then the worker's local stores
are deleted and it recovers from the changelog. What a size cost is kept as soon as it is measured,
with the load that others put on the machine meanwhile; a size measured beside others is measured
anew.
"""

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from integration_tests.performance.city_run import is_drained, taken_by
from integration_tests.performance.foreign_load import LoadDuring, refuse_if_busy
from integration_tests.performance.growth_log import (
    EVENTS_PER_ENTITY,
    forget_log,
    forget_outputs,
    prefix_of,
)
from integration_tests.performance.log_reading import read_progress
from integration_tests.performance.memory_held import WORKER, held, resident_of_each, when_idle
from integration_tests.performance.peer_fold import REPORTED_PART
from integration_tests.performance.processes import Sample, WrongResultError, at_moment, sample
from integration_tests.performance.recovery_log import recovery_of
from integration_tests.performance.session import Session
from integration_tests.performance.shown import Shown
from integration_tests.performance.topic_prefix import prefixed
from services.contracts import topics
from services.local.system import LocalSystem
from services.local.waiting import poll_until

PROJECTION = "projection"
LOOK_SECONDS = 0.1
SETTLE_SECONDS = 2.0
BLOCK_BYTES = 512
"""Of st_blocks: what files take, not how long they are (the broker's indexes are sparse)."""
SECONDS_PER_EVENT_MAX = 0.005
SECONDS_MIN = 300.0
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Size:
    """What one size cost."""

    entities: int
    cpu_us_per_event: float
    recovery_us_per_record: float
    state_records: int
    bytes_held: float
    """Memory of worker and projection, and contents of Redis, above those of an empty system."""
    bytes_in_redis: float
    """The contents of Redis alone."""
    worker_gib: float
    projection_gib: float
    redis_gib: float
    broker_gib: float
    all_processes_gib: float
    """Resident in the four of them."""
    events_per_s: float
    disk_gib: float
    minutes: float
    """How long it took to measure this size, the writing of its log left out."""
    foreign: float
    """Others' share of one processor meanwhile."""


EMPTY_SECONDS_MAX = 120.0


def size_name(entities: int) -> str:
    """Name what is kept of a size."""
    return f"growth size {entities}"


def size_of(session: Session, entities: int) -> Size:
    """Return what so many entities cost, measured or kept. Raises BusyMachineError."""
    entities = session.scaled(entities)
    name = size_name(entities)
    size = Size(**session.kept.once(name, lambda: asdict(_measure(session, entities))))
    if size.foreign > session.foreign_max:
        session.kept.forget(name)
        refuse_if_busy(size.foreign, "during")
    return size


def _measure(session: Session, entities: int) -> Size:
    prefix = prefix_of(session, entities)
    idle = when_idle(session)
    began = time.monotonic()
    # Emptying it takes seconds when it holds a million entities.
    patient = redis.Redis.from_url(session.redis_url, socket_timeout=EMPTY_SECONDS_MAX)
    with prefixed(prefix), patient as client, LoadDuring() as load:
        forget_outputs(session.bootstrap)
        client.flushall()
        directory = session.directory / prefix.strip(".")
        shutil.rmtree(directory, ignore_errors=True)
        system = LocalSystem(directory, session.bootstrap, session.redis_url, prefix)
        try:
            system.start(PROJECTION, WORKER)
            samples = _drain(system, entities * EVENTS_PER_ENTITY)
            _wait_projected(client, prefix, entities)
            full = held(system, client)
            resident = resident_of_each(system, session, client)
            cpu_us, rate = _cost(session.bootstrap, samples, entities * EVENTS_PER_ENTITY)
            recovery_us, records = _recover(system, entities)
            disk = sum(file.stat().st_blocks for file in _files(session.directory)) * BLOCK_BYTES
        finally:
            system.stop()
            client.flushall()
            shutil.rmtree(directory, ignore_errors=True)
    size = Size(
        entities=entities,
        cpu_us_per_event=cpu_us,
        recovery_us_per_record=recovery_us,
        state_records=records,
        bytes_held=full.all - idle.all,
        bytes_in_redis=full.in_redis - idle.in_redis,
        worker_gib=resident["worker"] / GIB,
        projection_gib=resident["projection"] / GIB,
        redis_gib=resident["redis"] / GIB,
        broker_gib=resident["broker"] / GIB,
        all_processes_gib=sum(resident.values()) / GIB,
        events_per_s=rate,
        disk_gib=disk / GIB,
        minutes=(time.monotonic() - began) / 60,
        foreign=load.mean,
    )
    print(f"  growth: {size}", flush=True)  # noqa: T201  what it costs to lose it is minutes
    if size.foreign <= session.foreign_max:
        forget_log(session, entities)
    return size


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def _seconds_max(events: int) -> float:
    return max(SECONDS_MIN, events * SECONDS_PER_EVENT_MAX)


def _drain(system: LocalSystem, records: int) -> list[Sample]:
    """Wait until the worker took everything; return what was seen of it."""
    samples: list[Sample] = []
    shown = Shown("growth: events drained", records)
    deadline = time.monotonic() + _seconds_max(records)
    while time.monotonic() < deadline:
        samples.append(sample(system.process(WORKER).pid, samples))
        status = system.worker_status(WORKER)
        shown.at(taken_by(status))
        if is_drained(status, records):
            return samples
        for exited in system.supervisor.check():
            raise WrongResultError(f"{exited.name} ended with {exited.exit_code}")
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
    """Wait until nothing is added to Redis any more and it holds every entity.

    They are counted only when the number of keys stands still: the count stops Redis for others.
    """
    pattern = f"{prefix.strip('.')}:*:e:*"
    shown = Shown("growth: keys in Redis (at least one an entity)", entities)
    before = -1

    def projected() -> bool:
        nonlocal before
        last, before = before, int(client.dbsize())
        shown.at(min(before, entities - 1))
        if before != last or before < entities:
            return False
        return sum(1 for _ in client.scan_iter(pattern, count=10_000)) >= entities

    poll_until(
        projected,
        timeout_seconds=_seconds_max(entities * EVENTS_PER_ENTITY),
        what=f"{entities} entities are projected",
        interval_seconds=SETTLE_SECONDS,
    )


def _recover(system: LocalSystem, entities: int) -> tuple[float, int]:
    """Let a worker without local stores recover; return microseconds a record, and records."""
    log_file = system.process(WORKER).log_file
    system.supervisor.stop(WORKER)
    shutil.rmtree(system.run_directory / "data" / WORKER)
    log_file.unlink()
    recovery = recovery_of(system, WORKER, _seconds_max(entities * EVENTS_PER_ENTITY))
    return recovery.restored_s / recovery.records * 1e6, recovery.records
