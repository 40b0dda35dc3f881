"""An operator sees what intakes, projection and query side are doing, and nobody's identity."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import grpc
import pytest
import redis
from market_supervision.alerts.v1 import alert_service_pb2 as alerts
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub

from integration_tests.system.monitoring import Monitor
from integration_tests.system.support import ALL_DAYS, publish_rules, submit, wait_folded
from services.contracts import topics
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.redis import LocalRedis
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

SECONDS_MAX = 120.0


@pytest.fixture
def own_redis(run_directory: Path) -> Iterator[LocalRedis]:
    """A Redis that this test may empty."""
    with LocalRedis(run_directory / "redis") as server:
        yield server


@pytest.fixture
def system(
    kafka_bootstrap: str, own_redis: LocalRedis, run_directory: Path
) -> Iterator[LocalSystem]:
    """A whole system that serves."""
    prefix = f"operators-{os.urandom(4).hex()}."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        ensure_topics(kafka_bootstrap)
        publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS)
        with owned_run_directory(run_directory / "run"):
            made = LocalSystem(run_directory / "run", kafka_bootstrap, own_redis.url, prefix)
            try:
                made.start("lifecycle-0", *INTAKES, "projection", "profiles")
                yield made
            finally:
                made.stop()


def waiting_for(condition: Callable[[], bool], what: str) -> None:
    """Wait as long as a busy machine may need."""
    poll_until(condition, timeout_seconds=SECONDS_MAX, what=what)


def test_services_show_what_they_do_and_name_nobody(
    kafka_bootstrap: str, own_redis: LocalRedis, system: LocalSystem
) -> None:
    """Outcomes, calls, positions, watches; and a read model that is lost and comes back."""
    addresses = system.wait_serving()
    examples = [load_example(family.name, arm) for family in FAMILIES for arm in family.arms]
    submit(addresses, *examples)
    submit(addresses, examples[0])
    refused = type(examples[0])()
    with pytest.raises(grpc.RpcError):
        submit(addresses, refused)
    wait_folded(kafka_bootstrap)

    registration = Monitor(system, "registration")
    arms = len(next(f for f in FAMILIES if f.name == "registration").arms)
    assert registration.value("intake_events_total", outcome="RECEIPT") == arms + 1
    assert registration.total("intake_events_total") == arms + 2
    assert registration.value("intake_published_total") == arms
    assert registration.value("intake_publish_seconds_count") == arms
    assert registration.value("intake_events_under_way") == 0
    assert registration.total("grpc_calls_total", code="OK") >= arms + 1
    assert registration.total("grpc_calls_total", code="INVALID_ARGUMENT") == 1
    assert registration.health().status == 200

    projection = Monitor(system, "projection")
    waiting_for(lambda: projection.health().status == 200, "the read model is complete")
    assert projection.total("projection_batch_seconds_count") > 0
    waiting_for(lambda: projection.total("projection_lag_offsets") == 0, "nothing is behind")
    rewinds = projection.total("projection_rewinds_total")
    written = projection.total("projection_records_total")
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
    waiting_for(lambda: projection.total("projection_rewinds_total") > rewinds, "it is noticed")
    waiting_for(lambda: projection.health().status == 200, "the read model is complete again")
    assert projection.total("projection_records_total") > written

    profiles = Monitor(system, "profiles")
    waiting_for(lambda: profiles.health().status == 200, "profiles can answer")
    with grpc.insecure_channel(addresses["profiles"]) as channel:
        watch = AlertServiceStub(channel).WatchAlerts(alerts.WatchAlertsRequest(), timeout=60)
        reader = threading.Thread(target=lambda: list(_until_ended(watch)), daemon=True)
        reader.start()
        waiting_for(lambda: profiles.value("alert_watches_open") == 1, "the watch is open")
        waiting_for(lambda: profiles.value("alert_watches_following") == 1, "it follows")
        watch.cancel()
        reader.join(30)
    waiting_for(lambda: profiles.value("alert_watches_open") == 0, "the watch is over")
    assert profiles.value("alert_watches_total") == 1
    assert profiles.value("alert_watches_cut_total") == 0

    assert_nobody_is_named(system, {event.envelope.entity_key.value for event in examples})


def assert_nobody_is_named(system: LocalSystem, keys: set[str]) -> None:
    """No label of any process holds an entity's key, and topics are those of the catalogue."""
    for name in ("lifecycle-0", *INTAKES, "projection", "profiles"):
        monitor = Monitor(system, name)
        labels = {value for _, had in monitor.metrics() for _, value in had}
        assert labels
        assert not [label for label in labels if any(key in label for key in keys)]
        known = {topics.name(short) for short in topics.CATALOGUE} | set(topics.CATALOGUE)
        told = {dict(had)["topic"] for _, had in monitor.metrics() if "topic" in dict(had)}
        assert told <= known
        assert monitor.log


def _until_ended(watch: Iterable[object]) -> Iterator[object]:
    try:
        yield from watch
    except grpc.RpcError:
        return
