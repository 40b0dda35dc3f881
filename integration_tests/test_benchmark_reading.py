"""What the benchmark reads from logs, changelogs and times: figures stand and fall with it."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from integration_tests.performance import log_reading
from integration_tests.performance.city_run import is_drained
from integration_tests.performance.peer_fold import Load, digest
from integration_tests.performance.peer_log import make_topics, write_log
from integration_tests.performance.peer_reference import expected_states
from integration_tests.performance.peer_run import drain
from integration_tests.performance.peers.catalogue import ENGINE
from integration_tests.performance.processes import Sample, WrongResultError, at_moment
from integration_tests.performance.recovery_log import recovery_in
from integration_tests.performance.rows import latency, projection
from integration_tests.performance.rows.pipeline import DUPLICATES, disturbed
from integration_tests.performance.state_log import copies
from integration_tests.system.city_log import CONTROL, Written
from integration_tests.system.support import Raw
from services.contracts import state_keys
from services.streaming import meta
from services.streaming.meta import META_KEY, Applied, Meta

SMALL = Load(events=3_000, keys=50)


def unit(partition: int, at_ms: int, **applied: int) -> Raw:
    """A META record that says how far each topic is applied."""
    positions = {topic: Applied(offset, 0) for topic, offset in applied.items()}
    return Raw(partition, 0, at_ms, META_KEY, meta.encode(Meta(1, 0, positions)), ())


def test_progress_counts_events_over_partitions_and_leaves_ticks_out() -> None:
    """The newest position of each partition counts, whatever order the units are read in."""
    units = [
        unit(0, 30, red=7, blue=2, control=50),
        unit(0, 10, red=4, control=40),
        unit(1, 20, blue=5),
    ]
    assert log_reading.progress(units, "control") == [(10, 4), (20, 9), (30, 14)]


def test_drained_only_without_lag_and_with_all_records() -> None:
    """A worker that knows of no lag yet has not drained, nor has one that knows of some."""
    nothing: dict[str, Any] = {}
    behind = {"partitions": {"0": {"records": 9, "lag": {"red": 1}}}}
    short = {"partitions": {"0": {"records": 4, "lag": {"red": 0}}}}
    done = {
        "partitions": {
            "0": {"records": 4, "lag": {"red": 0}},
            "1": {"records": 5, "lag": {"red": 0, "blue": 0}},
        }
    }
    assert [is_drained(status, 9) for status in (nothing, behind, short, done)] == [
        False,
        False,
        False,
        True,
    ]


def test_processor_time_is_taken_at_the_sample_next_to_the_moment() -> None:
    """Never interpolated: to within one sample."""
    samples = [Sample(0.0, 1.0, 5), Sample(50.0, 1.5, 6), Sample(100.0, 2.5, 7)]
    assert [at_moment(samples, ms) for ms in (-10, 20, 30, 99, 500)] == [1.0, 1.0, 1.5, 2.5, 2.5]


def _log(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("not JSON\n" + "".join(json.dumps(event) + "\n" for event in events))
    return path


def test_recovery_is_read_from_the_workers_log(tmp_path: Path) -> None:
    """Fencing, restoring and opening, of one recovery; two are no figure."""
    events: list[dict[str, Any]] = [
        {"event": "partitions_fenced", "took_s": 0.1},
        {"event": "partitions_restored", "took_s": 2.0, "records": 500},
        {"event": "partitions_open", "took_s": 2.2, "timestamp": "2026-11-23T10:00:01.500000Z"},
    ]
    found = recovery_in(_log(tmp_path / "one.log", *events))
    assert (found.fenced_s, found.records, found.restored_s, found.open_s) == (0.1, 500, 2.0, 2.2)
    assert found.opened_at_ms == datetime(2026, 11, 23, 10, 0, 1, 500_000, UTC).timestamp() * 1000
    with pytest.raises(WrongResultError, match="2 times"):
        recovery_in(_log(tmp_path / "two.log", *events, *events))
    with pytest.raises(WrongResultError, match="0 times"):
        recovery_in(_log(tmp_path / "none.log", *events[:1]))


def test_latency_is_of_all_events_after_the_warm_up() -> None:
    """One that never arrived gives no figure; the warm-up's times are left out."""
    count = latency.EVENTS_PER_SECOND * (latency.WARM_UP_SECONDS + 5)
    warm_up = latency.EVENTS_PER_SECOND * latency.WARM_UP_SECONDS
    names = [str(number) for number in range(count)]
    due = {name: float(name) for name in names}
    arrivals = {name: due[name] + (9.0 if int(name) < warm_up else 0.010) for name in names}
    figure = latency.latencies_of(names, due, arrivals)
    assert figure.value == pytest.approx(10.0)
    assert figure.details["max_ms"] == pytest.approx(10.0)
    slow = {**arrivals, **{name: due[name] + 1.0 for name in names[-(count // 50) :]}}
    assert latency.latencies_of(names, due, slow).value == pytest.approx(1000.0)
    del arrivals[names[-1]]
    with pytest.raises(WrongResultError, match="1 of"):
        latency.latencies_of(names, due, arrivals)


def test_rate_is_that_of_the_window() -> None:
    """Start-up, the first tenth and the last hundredth are nobody's time; keys are scaled."""
    keys = [(0.0, 0), (50.0, 20), (51.0, 120), (52.0, 198), (90.0, 200)]
    assert projection.rate(keys, entities=100) == pytest.approx(100 * (198 - 20) / 200 / 2)


def test_copies_of_a_city_differ_in_names_alone() -> None:
    """Every copy has keys and alert ids of its own, as long as they were, in key and value."""
    entity, alert = "uscc:91442000XX00000001", "ab" * 16
    keys = [state_keys.entity_state(entity), state_keys.alert_thread(entity, alert)]
    values = [b"of " + entity.encode(), f"{alert} of {entity}".encode()]
    parsed = [state_keys.parse(key) for key in keys]
    city = {entity: [(p, k, v) for p, k, v in zip(parsed, keys, values, strict=True) if p]}
    copied = list(islice(copies(city), 3))
    assert len({key for _, records in copied for key, _ in records}) == 6
    for name, records in copied:
        assert [len(key) for key, _ in records] == [len(key) for key in keys]
        thread = state_keys.parse(records[1][0])
        assert thread is not None
        assert thread.entity_key == name != entity
        assert thread.part != alert
        assert [v for _, v in records] == [
            f"of {name}".encode(),
            f"{thread.part} of {name}".encode(),
        ]


def test_disturbed_log_repeats_and_delays_events_and_loses_none() -> None:
    """A fifth are repeats; every record is there; append times rise; ticks stay in place."""
    topics = ["red", "blue", CONTROL]
    records = [
        Written(topics[n % 3], n % 12, 1_000_000 + n * 60_000, b"k%d" % n, b"v%d" % n)
        for n in range(6_000)
    ]
    moved = disturbed(records)
    assert moved == disturbed(records)
    times = [record.timestamp_ms for record in moved]
    assert times == sorted(set(times))
    found = Counter((r.topic, r.partition, r.key, r.value) for r in moved)
    assert set(found) == {(r.topic, r.partition, r.key, r.value) for r in records}
    repeats = len(moved) - len(records)
    events = len(moved) - len(records) // 3
    assert repeats / events == pytest.approx(DUPLICATES, abs=0.03)
    ticks = [record.key for record in moved if record.topic == CONTROL]
    assert ticks == [record.key for record in records if record.topic == CONTROL]
    order = [int(r.key[1:]) for r in dict.fromkeys(r._replace(timestamp_ms=0) for r in moved)]
    assert order != sorted(order)


async def test_states_are_read_as_committed_and_the_newest_counts(kafka_bootstrap: str) -> None:
    """What was aborted is not there; the end is the append time of the last committed record."""
    topic = f"states-{id(SMALL)}"
    make_topics(kafka_bootstrap, [topic])
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_bootstrap, transactional_id=topic
    ) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"old", key=b"a", partition=0)
            await producer.send_and_wait(topic, b"kept", key=b"b", partition=1)
        async with producer.transaction():
            last = await producer.send_and_wait(topic, b"new", key=b"a", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", key=b"a", partition=0)
        await producer.abort_transaction()
    found = await asyncio.to_thread(
        log_reading.read_states, kafka_bootstrap, topic, lambda key: key
    )
    assert found.digest == digest({b"a": b"new", b"b": b"kept"})
    assert (found.states, found.last_append_ms) == (2, last.timestamp)


def test_peers_log_stands_on_the_broker_as_it_was_made(kafka_bootstrap: str) -> None:
    """Every record, in its order within its key, and the digest expected of it."""
    log = write_log(kafka_bootstrap, SMALL)

    async def read() -> dict[bytes, list[bytes]]:
        values: dict[bytes, list[bytes]] = {}
        async for record in log_reading.committed(kafka_bootstrap, log.topic):
            values.setdefault(record.key, []).append(record.value)
        return values

    wanted: dict[bytes, list[bytes]] = {}
    for key, value in SMALL.records():
        wanted.setdefault(key, []).append(value)
    assert asyncio.run(read()) == wanted
    assert log.records == SMALL.events
    assert log.digest == digest(expected_states(SMALL.records()))
    assert log.distinct == SMALL.events


def test_engine_drains_the_peers_log_to_the_expected_digest_or_gives_no_figure(
    kafka_bootstrap: str, run_directory: Path
) -> None:
    """With duplicates and late events; states other than the expected ones are refused."""
    load = replace(SMALL, duplicates=0.2, late=0.05)
    log = write_log(kafka_bootstrap, load)
    run = drain(ENGINE, log, run_directory)
    assert run.events_per_s > 0
    assert run.memory_mib > 0
    assert not list(run_directory.glob("drain-*"))
    with pytest.raises(WrongResultError, match="not expected"):
        drain(ENGINE, replace(log, digest="another"), run_directory)
