"""One event of every type through intake, log, stream, read model and query side, and one alert."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from market_supervision.alerts.v1 import alert_service_pb2 as alerts
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.system.support import (
    ALL_DAYS,
    accounted,
    alert_records,
    publish_rules,
    read_topic,
    records_on_log,
    submit,
    wait_folded,
)
from services.contracts.event_types import event_type_of
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES
from services.contracts.identifiers import entity_resource_name
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem


@pytest.fixture
def system(
    kafka_bootstrap: str, redis_url: str, fresh_topics: Callable[..., str], run_directory: Path
) -> Iterator[LocalSystem]:
    """A whole system on topics of its own, with rules that look at all of the past."""
    prefix = fresh_topics()
    publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS)
    directory = run_directory / "system"
    with owned_run_directory(directory):
        system = LocalSystem(directory, kafka_bootstrap, redis_url, prefix)
        try:
            system.start("lifecycle-0", *INTAKES, "projection", "profiles")
            yield system
        finally:
            system.stop()


def test_every_event_type_travels_from_intake_to_profile(
    system: LocalSystem, kafka_bootstrap: str
) -> None:
    """Each example is receipted, folded, shown in a profile and its timeline; alerts arrive."""
    addresses = system.wait_serving()
    events = [load_example(family.name, arm) for family in FAMILIES for arm in family.arms]
    receipts = submit(addresses, *events)
    assert submit(addresses, *events) == receipts
    total = wait_folded(kafka_bootstrap)
    assert accounted(total) == records_on_log(kafka_bootstrap)
    letters = read_topic(kafka_bootstrap, "dead-letter.v1")
    assert not letters, [dict(letter.headers) for letter in letters]
    with grpc.insecure_channel(addresses["profiles"]) as channel:
        stub = EntityProfileServiceStub(channel)
        for event, receipt in zip(events, receipts, strict=True):
            name = "entities/" + receipt.entity_key
            answer = stub.GetEntityProfile(
                profiles.GetEntityProfileRequest(
                    name=name, view=profiles.ENTITY_PROFILE_VIEW_FULL, at_least_as_fresh_as=receipt
                ),
                timeout=20,
            )
            assert len(answer.freshness) == len(FAMILIES)
            timeline = stub.ListTimelineEntries(
                profiles.ListTimelineEntriesRequest(parent=name, page_size=200), timeout=10
            )
            assert event_type_of(event).cloud_event_type in {
                entry.event_type for entry in timeline.entries
            }, entity_resource_name(event.envelope.entity_key)
        records = alert_records(kafka_bootstrap)
        assert records
        listed = AlertServiceStub(channel).ListAlerts(alerts.ListAlertsRequest(), timeout=10)
        assert {alert.alert_id for alert in listed.alerts} == {r.alert.alert_id for r in records}
