"""How fast a worker that lost everything, or nothing, has its state again.

From nothing: the time in which the changelog is read to its end, by the worker's own log. Once the
engine with the peers' fold, over nearly a million of its small records, without a local index; and
once the lifecycle worker itself, with its indexes, over a state topic as a city leaves it
(`state_log`). The bare read gives a dict the same records, with a plain aiokafka consumer: it pays
for the record object that aiokafka makes of each, where the worker has its parser make its own.

Warm: the engine with the peers' fold once more, which makes the recovery that it is held against a
short one. The times begin
with the assignment of the partitions. Beside them stands the whole time from the start of the
process, which adds interpreter, imports and joining the group. The end is the end of the changelog,
and the sources are at their end, so ready means lag 0.
"""

import asyncio
import shutil
import time
import uuid
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer, TopicPartition

from integration_tests.performance.peer_fold import Load
from integration_tests.performance.peer_log import PARTITIONS, PeerLog
from integration_tests.performance.peer_run import drain_prepared, prepare, run_peer
from integration_tests.performance.peers.catalogue import ENGINE
from integration_tests.performance.peers.engine_worker import UNTIL_READY
from integration_tests.performance.peers.progress import PeerArguments
from integration_tests.performance.processes import WrongResultError
from integration_tests.performance.recovery_log import Recovery, recovery_in, recovery_of
from integration_tests.performance.row import Figure, Row
from integration_tests.performance.session import Session
from integration_tests.performance.state_log import ENTITIES, state_log
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.reading.changelog_writer import LIFECYCLE
from services.contracts import topics
from services.local.system import LocalSystem

RECOVERED = Load(events=1_000_000, keys=250_000)
"""Few events a key: nearly every event is a record of its own on the changelog."""
FETCH_BYTES = 8 << 20
POLL_RECORDS = 20_000
WORKER = "lifecycle-0"
RECOVERY_SECONDS_MAX = 300.0
TO_LAG_0 = "seconds_from_start_to_lag_0"


@dataclass(frozen=True, slots=True)
class Changelog:
    """A finished run of the engine whose topics and local stores are kept."""

    log: PeerLog
    arguments: PeerArguments


def changelog_of(session: Session, load: Load) -> Changelog:
    """Let the engine drain a load once; its changelog is what is recovered from."""

    def make() -> Changelog:
        log = session.peer_log(load)
        arguments = prepare(ENGINE, log, session.directory)
        drain_prepared(ENGINE, log, arguments)
        return Changelog(log, arguments)

    return session.once(("changelog", load), make)


def recover(changelog: Changelog, *, is_warm: bool) -> tuple[Recovery, float]:
    """Start a worker, with the local stores of the last one or without any, until it is ready.

    Returns what its log says and the seconds from its start until its lag was 0.
    """
    arguments = changelog.arguments
    if not is_warm:
        shutil.rmtree(arguments.data_directory, ignore_errors=True)
    arguments.log_file.unlink(missing_ok=True)
    began_ms = time.time() * 1000
    run_peer(ENGINE, arguments, UNTIL_READY)
    recovery = recovery_in(arguments.log_file)
    return recovery, (recovery.opened_at_ms - began_ms) / 1000


def _from_nothing(session: Session) -> Figure:
    recovery, whole_s = recover(changelog_of(session, RECOVERED), is_warm=False)
    return Figure(recovery.records / recovery.restored_s, _details(recovery, whole_s))


def _bare_read(session: Session) -> Figure:
    arguments = changelog_of(session, RECOVERED).arguments
    return _read(asyncio.run(read_bare(arguments.bootstrap, arguments.changelog)))


def _read(read: "BareRead") -> Figure:
    details = {
        "records": float(read.records),
        "keys": float(read.keys),
        "bytes_per_record": read.bytes / read.keys,
    }
    return Figure(read.records / read.seconds, details)


def _city_from_nothing(session: Session) -> Figure:
    log = state_log(session)
    directory = session.directory / f"recovery-{uuid.uuid4().hex[:8]}"
    system = LocalSystem(directory, session.bootstrap, session.redis_url, log.prefix)
    try:
        recovery = recovery_of(system, WORKER, RECOVERY_SECONDS_MAX)
    finally:
        system.stop()
        shutil.rmtree(directory, ignore_errors=True)
    if recovery.records < log.records:
        raise WrongResultError(f"{recovery.records} of {log.records} records are restored")
    details = {
        "records": float(recovery.records),
        "fenced_s": recovery.fenced_s,
        "restored_s": recovery.restored_s,
        "open_s": recovery.open_s,
    }
    return Figure(recovery.records / recovery.restored_s, details)


def _bare_read_of_city(session: Session) -> Figure:
    log = state_log(session)
    with prefixed(log.prefix):
        topic = topics.name(LIFECYCLE)
    read = asyncio.run(read_bare(session.bootstrap, topic))
    if read.keys < log.records:
        raise WrongResultError(f"{read.keys} of {log.records} records are read")
    return _read(read)


@dataclass(frozen=True, slots=True)
class BareRead:
    """What a plain consumer read, and how long it took."""

    records: int
    keys: int
    bytes: int
    """Of the newest keys and values."""
    seconds: float


async def read_bare(bootstrap: str, topic: str) -> BareRead:
    """Read a topic's committed records into a dict.

    As the engine's recovery does it, with the same fetch sizes, but for everything else.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=8 * FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        began = time.perf_counter()
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for tp, begin in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(tp, begin)
        states: dict[bytes, bytes] = {}
        records = 0
        while unfinished := [tp for tp in partitions if await consumer.position(tp) < ends[tp]]:
            consumer.pause(*(tp for tp in partitions if tp not in unfinished))
            answer = await consumer.getmany(timeout_ms=200, max_records=POLL_RECORDS)
            for batch in answer.values():
                records += len(batch)
                for record in batch:
                    states[record.key] = record.value
        seconds = time.perf_counter() - began
        size = sum(len(key) + len(value) for key, value in states.items())
        return BareRead(records, len(states), size, seconds)
    finally:
        await consumer.stop()


def _details(recovery: Recovery, whole_s: float) -> dict[str, float | str]:
    return {
        "records": float(recovery.records),
        "fenced_s": recovery.fenced_s,
        "restored_s": recovery.restored_s,
        "open_s": recovery.open_s,
        TO_LAG_0: whole_s,
    }


def _cold_seconds(session: Session) -> Figure:
    recovery, whole_s = recover(changelog_of(session, RECOVERED), is_warm=False)
    return Figure(recovery.open_s, _details(recovery, whole_s))


def _warm_seconds(session: Session) -> Figure:
    changelog = changelog_of(session, RECOVERED)
    # The stores of the run before, whatever row or pair left none.
    recover(changelog, is_warm=True)
    recovery, whole_s = recover(changelog, is_warm=True)
    if recovery.records > PARTITIONS:
        raise WrongResultError(f"a warm restart read {recovery.records} records")
    return Figure(recovery.open_s, _details(recovery, whole_s))


_COLD = Row(
    name="recovery_from_nothing",
    ours="engine with the peers' fold restored from its changelog into RocksDB",
    baseline="bare aiokafka read of the same topic into a dict, a ConsumerRecord each",
    unit="records/s",
    note="the peers' fold, small records, no local index",
    measure=_from_nothing,
    measure_baseline=_bare_read,
    must=0.25,
    goal=0.5,
    minutes=1,
)

ROWS = (
    _COLD,
    replace(
        _COLD,
        name="recovery_of_a_city",
        ours=f"lifecycle worker restored into RocksDB with its local indexes, {ENTITIES:,} "
        "entities of a city on its state topic",
        note="the lifecycle worker with its indexes",
        measure=_city_from_nothing,
        measure_baseline=_bare_read_of_city,
        minutes=2.5,
        by_default=False,
    ),
    replace(
        _COLD,
        name="warm_restart",
        ours="engine with the peers' fold ready again with its local stores: fencing and the "
        "changelog's end",
        baseline="the same from nothing",
        unit="s",
        measure=_warm_seconds,
        measure_baseline=_cold_seconds,
        must=0.5,
        goal=0.1,
        lower_is_better=True,
        minutes=1,
        note="the peers' fold, small records",
        beside=(TO_LAG_0,),
    ),
)
