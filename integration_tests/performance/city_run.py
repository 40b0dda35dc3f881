"""The full system drains a synthetic city: one lifecycle worker, the projection and Redis running.

Rate: from the append time of the transaction with which a tenth of the records was applied to that
of the last, both from the META records on the changelog; start-up is nobody's time. The alerts
standing open at the end must be those the city is known to raise, nothing may be dead-lettered,
every run over the same log must come to the same view, and the projection must show every entity.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from kafka.admin import KafkaAdminClient
from market_supervision.alerts.v1.alert_pb2 import ALERT_STATE_OPEN

from integration_tests.performance.log_reading import progress
from integration_tests.performance.peer_fold import REPORTED_PART
from integration_tests.performance.processes import (
    Sample,
    WrongResultError,
    at_moment,
    memory_mib,
    sample,
)
from integration_tests.performance.session import Session
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.system.city_log import (
    CONTROL,
    CityLog,
    Feed,
    Written,
    make_time_lapse_topics,
)
from integration_tests.system.support import ALL_DAYS, Raw, alert_records, publish_rules, read_topic
from services.contracts import state_keys, topics
from services.contracts.state_keys import StateKind
from services.lifecycle.digest import digest_records
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.streaming.meta import META_KEY
from services.synthetic.expectations import AlertEnd

WORKER = "lifecycle-0"
LOOK_SECONDS = 0.1
DRAIN_SECONDS_MAX = 600.0
PROJECTION_SECONDS_MAX = 120.0
READY_SECONDS_MAX = 60.0
VISIBLE_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class CityDrain:
    """One drain of a city by the full system."""

    events_per_s: float
    cpu_us_per_event: float
    """Processor time of the lifecycle worker alone."""
    seconds: float
    units: int
    memory_mib: float
    view: str
    """Digest of the view."""


@contextmanager
def city_on_log(session: Session, log: CityLog, records: Sequence[Written]) -> Iterator[str]:
    """Make all topics under a prefix of their own and feed them; yield the prefix."""
    prefix = f"city-{uuid.uuid4().hex[:8]}."
    with prefixed(prefix):
        try:
            make_time_lapse_topics(session.bootstrap)
            publish_rules(session.bootstrap, max_age_days=ALL_DAYS, timestamp_ms=log.begins_ms - 1)
            feed = Feed(session.bootstrap, records, is_read=False)
            feed.start()
            feed.finish()
            yield prefix
        finally:
            _delete_topics(session.bootstrap, prefix)


def drain_city(
    session: Session, log: CityLog, records: Sequence[Written], *, is_expected: bool
) -> CityDrain:
    """Drain a city's records from nothing. ``is_expected``: whether its alerts are foretold.

    Raises WrongResultError.
    """
    events = sum(record.topic != CONTROL for record in records)
    with city_on_log(session, log, records) as prefix:
        directory = session.directory / prefix.strip(".")
        system = LocalSystem(directory, session.bootstrap, session.redis_url, prefix)
        try:
            system.start("projection")
            # Ready it is only when the state has passed the log; that it runs is enough here.
            listening = system.metrics_file("projection").exists
            poll_until(listening, timeout_seconds=READY_SECONDS_MAX, what="projection")
            system.start(WORKER)
            samples = _watch(system, len(records))
            changelog = _whole_changelog(session.bootstrap, events)
            entities = sum(_is_entity(key) for key in {r.key for r in changelog})
            _wait_projected(session.redis_url, prefix, entities)
        finally:
            system.stop()
        if is_expected:
            _check_alerts(session.bootstrap, log)
    return _drain_of(changelog, samples, events)


def _whole_changelog(bootstrap: str, events: int) -> list[Raw]:
    """Read the changelog when every event is applied for readers of committed records too.

    The broker makes a commit visible a moment after it has answered the writer.
    """

    def whole() -> list[Raw]:
        changelog = read_topic(bootstrap, "lifecycle.v1")
        moments = _moments(changelog)
        return changelog if moments and moments[-1][1] == events else []

    return poll_until(
        whole, timeout_seconds=VISIBLE_SECONDS_MAX, what="all is applied", interval_seconds=1.0
    )


def _moments(changelog: Sequence[Raw]) -> list[tuple[int, int]]:
    return progress((r for r in changelog if r.key == META_KEY), topics.name(CONTROL))


def _drain_of(changelog: Sequence[Raw], samples: list[Sample], events: int) -> CityDrain:
    moments = _moments(changelog)
    begin_ms, begun = next(each for each in moments if each[1] >= events // REPORTED_PART)
    end_ms = moments[-1][0]
    seconds = (end_ms - begin_ms) / 1000
    cpu = at_moment(samples, end_ms) - at_moment(samples, begin_ms)
    state = {record.key or b"": record.value for record in changelog}
    return CityDrain(
        events_per_s=(events - begun) / seconds,
        cpu_us_per_event=cpu / (events - begun) * 1e6,
        seconds=seconds,
        units=len(moments),
        memory_mib=memory_mib(samples),
        view=digest_records(state.items()).total,
    )


def _watch(system: LocalSystem, records: int) -> list[Sample]:
    """Sample the worker until it took everything, by its own status file."""
    samples: list[Sample] = []
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while time.monotonic() < deadline:
        samples.append(sample(system.process(WORKER).pid, samples))
        if is_drained(system.worker_status(WORKER), records):
            return samples
        for exited in system.supervisor.check():
            raise WrongResultError(f"{WORKER} ended with {exited.exit_code}")
        time.sleep(LOOK_SECONDS)
    raise WrongResultError(f"not drained within {DRAIN_SECONDS_MAX} s")


def is_drained(status: Mapping[str, Any], records: int) -> bool:
    """Whether a worker took at least so many records and knows of none that it did not apply."""
    lags = [part["lag"] for part in status.get("partitions", {}).values()]
    return taken_by(status) >= records and not any(any(lag.values()) for lag in lags)


def taken_by(status: Mapping[str, Any]) -> int:
    """Return how many records a worker took since it got its partitions."""
    return sum(part["records"] for part in status.get("partitions", {}).values())


def _is_entity(key: bytes | None) -> bool:
    parsed = state_keys.parse(key) if key else None
    return parsed is not None and parsed.kind is StateKind.ENTITY


def _wait_projected(redis_url: str, prefix: str, entities: int) -> None:
    """Wait until the read model holds every entity; its records are removed then."""
    pattern = f"{prefix.strip('.')}:*:e:*"
    with redis.Redis.from_url(redis_url) as client:
        poll_until(
            lambda: sum(1 for _ in client.scan_iter(pattern, count=5_000)) >= entities,
            timeout_seconds=PROJECTION_SECONDS_MAX,
            what=f"{entities} entities are projected",
            interval_seconds=0.5,
        )


def _check_alerts(bootstrap: str, log: CityLog) -> None:
    """Compare the alerts standing open with those the city is known to raise."""
    last = {record.alert.alert_id: record.alert for record in alert_records(bootstrap)}
    found = {
        (alert.rule.rule_id.partition("-")[2], alert.entity_key, alert.episode_key)
        for alert in last.values()
        if alert.state == ALERT_STATE_OPEN
    }
    expected = {
        (each.rule, each.entity_key, each.episode_key)
        for each in log.city.expected
        if each.end is AlertEnd.OPEN
    }
    if found != expected:
        raise WrongResultError(f"alerts that are of one only: {sorted(found ^ expected)[:5]}")
    if dead := read_topic(bootstrap, "dead-letter.v1"):
        raise WrongResultError(f"{len(dead)} records are dead-lettered")


def _delete_topics(bootstrap: str, prefix: str) -> None:
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith(prefix)])
