"""The view and the alerts of a log do not depend on what happened to its readers.

One log, the synthetic city's two years, is read again and again: once by a worker that nobody
disturbs and that finds all of it there, then, copied under another prefix, by workers that are
killed, joined and left while it is being written. The copies are equal in bytes, partitions, order
and append times, so everything that follows from them must be equal too, but for positions. That
the undisturbed run is right is known from elsewhere: its open alerts are the city's own list.

Who judges reads the raw topics, committed records only.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import redis
from market_supervision.alerts.v1.alert_pb2 import ALERT_STATE_OPEN
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_pb2 import EntityProfile
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.system.city_log import (
    CONTROL,
    CityLog,
    Feed,
    city_log,
    make_time_lapse_topics,
)
from integration_tests.system.support import (
    ALL_DAYS,
    Outcome,
    alert_records,
    outcome,
    publish_rules,
    read_topic,
    wait_applied,
)
from services.contracts import topics
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.synthetic.expectations import AlertEnd

ENTITIES = 130
KILLS = 3
SEED = 7
SESSION_SECONDS = "6"


@contextmanager
def lapsed_system(
    kafka_bootstrap: str, redis_url: str, directory: Path, prefix: str
) -> Iterator[LocalSystem]:
    """A system, nothing of it started, on topics of its own that take the writer's times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        make_time_lapse_topics(kafka_bootstrap)
        begins_ms = city_log(ENTITIES).begins_ms
        publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS, timestamp_ms=begins_ms - 1)
        extra = {"MARKET_SUPERVISION_LIFECYCLE__SESSION_SECONDS": SESSION_SECONDS}
        with owned_run_directory(directory):
            system = LocalSystem(directory, kafka_bootstrap, redis_url, prefix, extra)
            try:
                yield system
            finally:
                system.stop()


@pytest.fixture(scope="module")
def log() -> CityLog:
    """The log that every run reads."""
    return city_log(ENTITIES)


@pytest.fixture(scope="module")
def undisturbed(
    kafka_bootstrap: str, redis_url: str, session_directory: Path, log: CityLog
) -> Outcome:
    """What the log comes to when it is complete before one worker reads it, and nothing happens."""
    directory = session_directory / "undisturbed"
    with lapsed_system(kafka_bootstrap, redis_url, directory, f"calm-{os.getpid()}.") as system:
        feed = Feed(kafka_bootstrap, log.records, is_read=False)
        feed.start()
        feed.finish()
        system.start("lifecycle-0")
        wait_applied(kafka_bootstrap)
        assert not system.supervisor.check()
        last = {record.alert.alert_id: record.alert for record in alert_records(kafka_bootstrap)}
        open_alerts = {
            (alert.rule.rule_id.partition("-")[2], alert.entity_key, alert.episode_key)
            for alert in last.values()
            if alert.state == ALERT_STATE_OPEN
        }
        expected = {
            (each.rule, each.entity_key, each.episode_key)
            for each in log.city.expected
            if each.end is AlertEnd.OPEN
        }
        assert open_alerts == expected
        assert not read_topic(kafka_bootstrap, "dead-letter.v1")
        found = outcome(kafka_bootstrap)
        assert len(set(found.alert_event_ids)) == len(found.alert_event_ids)
        return found


@pytest.fixture
def system(kafka_bootstrap: str, redis_url: str, run_directory: Path) -> Iterator[LocalSystem]:
    """A system for one disturbed run."""
    prefix = f"{run_directory.name}."
    with lapsed_system(kafka_bootstrap, redis_url, run_directory / "system", prefix) as system:
        yield system


@contextmanager
def feeding(kafka_bootstrap: str, log: CityLog) -> Iterator[Feed]:
    """Feed the log while the block meddles; all of it is fed at the end."""
    feed = Feed(kafka_bootstrap, log.records)
    feed.start()
    try:
        yield feed
        assert feed.in_the_middle, f"at {feed.position} of {len(log.records)}"
    finally:
        feed.finish()


def _taken(system: LocalSystem, worker: str) -> int:
    """Records this very process of a worker took since it was assigned partitions."""
    status = system.worker_status(worker)
    if not status.get("ready") or status.get("pid") != system.process(worker).pid:
        return 0
    partitions = status["partitions"]
    assert isinstance(partitions, dict)
    return sum(part["records"] for part in partitions.values())


def _wait_taken(system: LocalSystem, worker: str, count: int) -> None:
    poll_until(
        lambda: _taken(system, worker) >= count,
        timeout_seconds=120,
        what=f"{worker} took {count} records",
    )


def _kill_and_bring_back(system: LocalSystem, worker: str) -> None:
    system.process(worker).kill()
    exits = poll_until(system.supervisor.check, what=f"the death of {worker} is seen")
    assert [(each.name, each.exit_code) for each in exits] == [(worker, -9)]
    poll_until(
        lambda: system.supervisor.check() or system.supervisor.running(worker),
        what=f"{worker} is back",
    )


def test_worker_killed_in_mid_feed_comes_to_the_same(
    system: LocalSystem, kafka_bootstrap: str, log: CityLog, undisturbed: Outcome
) -> None:
    """Killed at random moments of the feed and restarted: equal view, each alert record once."""
    rng = random.Random(SEED)
    system.start("lifecycle-0")
    with feeding(kafka_bootstrap, log):
        for _ in range(KILLS):
            _wait_taken(system, "lifecycle-0", rng.randint(20, 120))
            time.sleep(rng.random())
            _kill_and_bring_back(system, "lifecycle-0")
    wait_applied(kafka_bootstrap)
    found = outcome(kafka_bootstrap)
    assert found == undisturbed, found.explain(undisturbed)
    assert system.supervisor.check() == []


def test_second_worker_that_joins_and_leaves_comes_to_the_same(
    system: LocalSystem, kafka_bootstrap: str, log: CityLog, undisturbed: Outcome
) -> None:
    """Partitions go to a second worker and come back on SIGTERM: equal view, each alert once."""
    system.start("lifecycle-0")
    with feeding(kafka_bootstrap, log):
        _wait_taken(system, "lifecycle-0", 50)
        system.start("lifecycle-1")
        _wait_taken(system, "lifecycle-1", 30)
        owned = [set(system.worker_status(f"lifecycle-{n}")["partitions"]) for n in (0, 1)]  # type: ignore[call-overload]
        assert owned[0]
        assert owned[1]
        assert system.supervisor.stop("lifecycle-1") == 0
        assert system.supervisor.check() == []
        _wait_taken(system, "lifecycle-0", 30)
    wait_applied(kafka_bootstrap)
    found = outcome(kafka_bootstrap)
    assert found == undisturbed, found.explain(undisturbed)


class _Asking(threading.Thread):
    """Asks for one profile again and again, and remembers every kind of answer."""

    def __init__(self, address: str, name: str, expected: EntityProfile) -> None:
        super().__init__(name="asking", daemon=True)
        self._address, self._name, self._expected = address, name, expected
        self._enough = threading.Event()
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until told to stop."""
        with grpc.insecure_channel(self._address) as channel:
            while not self._enough.is_set():
                try:
                    profile = _profile(channel, self._name)
                    self.answers["the same" if profile == self._expected else "another"] += 1
                except grpc.RpcError as error:
                    self.answers[error.code().name] += 1

    def stop(self) -> Counter[str]:
        """Stop asking; return how often each kind of answer came."""
        self._enough.set()
        self.join(60)
        return self.answers


def _profile(channel: grpc.Channel, name: str, receipt: Receipt | None = None) -> EntityProfile:
    request = profiles.GetEntityProfileRequest(
        name=name, view=profiles.ENTITY_PROFILE_VIEW_FULL, at_least_as_fresh_as=receipt
    )
    answer: EntityProfile = (
        EntityProfileServiceStub(channel).GetEntityProfile(request, timeout=60).profile
    )
    return answer


def _quiet_entity(log: CityLog) -> tuple[str, int]:
    """An entity told of early and never again, and the position of its last record."""
    last: dict[str, int] = {}
    for position, record in enumerate(log.records):
        if record.topic != CONTROL:
            last[record.key.decode()] = position
    storied = {expected.entity_key for expected in log.city.expected}
    storied |= {near_miss.entity_key for near_miss in log.city.near_misses}
    position, entity = min((at, key) for key, at in last.items() if key not in storied)
    return entity, position


def _receipt(log: CityLog, position: int) -> Receipt:
    """What an intake would have answered for the record at a position of the log."""
    record = log.records[position]
    before = [r for r in log.records[:position] if r[:2] == record[:2]]
    return Receipt(topic=topics.name(record.topic), partition=record.partition, offset=len(before))


def _start_second_readers(system: LocalSystem) -> str:
    """Start another projection and query side, with a name of their own in Redis."""
    for service in ("projection", "profiles"):
        child = system.child(service)
        own = f"MARKET_SUPERVISION_{service.upper()}__NAMESPACE"
        ready = system.run_directory / f"second-{service}.ready.json"
        environment = {
            name: str(ready) if value == str(child.ready_file) else value
            for name, value in child.environment.items()
        } | {own: f"second-{os.getpid()}"}
        system.supervisor.start(
            replace(child, name=f"second-{service}", environment=environment, ready_file=ready)
        )
    return f"127.0.0.1:{system.supervisor.wait_ready('second-profiles', 120)}"


def test_redis_flushed_in_mid_feed_is_filled_again(
    system: LocalSystem, kafka_bootstrap: str, redis_url: str, log: CityLog
) -> None:
    """Until it is complete again nobody is told that an entity is unknown; then all is as before.

    As before: as in a read model that was made after the feed and never lost anything.
    """
    system.start("lifecycle-0", "projection", "profiles")
    address = system.wait_serving(["profiles"])["profiles"]
    entity, last = _quiet_entity(log)
    with grpc.insecure_channel(address) as channel, feeding(kafka_bootstrap, log) as feed:
        poll_until(lambda: feed.position > last, timeout_seconds=120, what="the entity is told of")
        known = _profile(channel, f"entities/{entity}", _receipt(log, last))
        asking = _Asking(address, f"entities/{entity}", known)
        asking.start()
        poll_until(lambda: asking.answers["the same"] > 10, timeout_seconds=120, what="asking")
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        asked = asking.answers["the same"]
        poll_until(lambda: asking.answers["UNAVAILABLE"] > 0, timeout_seconds=120, what="a loss")
        poll_until(
            lambda: asking.answers["the same"] > asked + 20,
            timeout_seconds=120,
            what="the read model is complete again",
        )
        answers = asking.stop()
    assert set(answers) == {"the same", "UNAVAILABLE"}, answers
    wait_applied(kafka_bootstrap)
    second = _start_second_readers(system)
    entities = sorted({r.key.decode() for r in log.records if r.topic != CONTROL})
    with grpc.insecure_channel(address) as flushed, grpc.insecure_channel(second) as fresh:
        _assert_equal_profiles(flushed, fresh, log, entities)


def _assert_equal_profiles(
    flushed: grpc.Channel, fresh: grpc.Channel, log: CityLog, entities: list[str]
) -> None:
    position_of = {r.key.decode(): n for n, r in enumerate(log.records) if r.topic != CONTROL}

    def complete(channel: grpc.Channel) -> bool:
        try:
            _profile(channel, f"entities/{entities[0]}")
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
        return True

    poll_until(lambda: complete(fresh), timeout_seconds=120, what="the second is complete")
    for entity in entities:
        receipt = _receipt(log, position_of[entity])
        name = f"entities/{entity}"
        assert _profile(flushed, name, receipt) == _profile(fresh, name, receipt), entity
