"""When a system is at rest: what was acknowledged is applied, readable and delivered."""

import grpc
from kafka import KafkaConsumer, TopicPartition
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.judge.recordings import Delivery
from integration_tests.nemesis.load import Load
from integration_tests.nemesis.moves import wait_moved
from integration_tests.nemesis.readers import Subscriber
from integration_tests.nemesis.stage import Stage
from integration_tests.system.support import wait_applied
from services.contracts import topics
from services.local.waiting import poll_until

APPLIED_SECONDS = 300.0
FRESH_SECONDS = 120.0


def wait_rest(stage: Stage, load: Load) -> None:
    """Wait until every service is whole and everything acknowledged has arrived everywhere."""
    stage.wait_whole()
    wait_moved(stage.bootstrap)
    wait_applied(stage.bootstrap, seconds=APPLIED_SECONDS)
    stage.wait_whole()
    for receipt in list(load.tally.newest.values()):
        _wait_in_profile(stage, receipt)
    ends = _alert_ends(stage.bootstrap)
    load.wait_delivered(lambda subscriber: _has_passed(subscriber, ends))


def _wait_in_profile(stage: Stage, receipt: Receipt) -> None:
    request = profiles.GetEntityProfileRequest(
        name=f"entities/{receipt.entity_key}", at_least_as_fresh_as=receipt
    )

    def answered() -> bool:
        stage.check()
        with grpc.insecure_channel(stage.endpoint("profiles")) as channel:
            try:
                EntityProfileServiceStub(channel).GetEntityProfile(request, timeout=5)
            except grpc.RpcError as error:
                # Not a promise broken yet: a linked key may still be on its way, or a pause over.
                return bool(error.code() is grpc.StatusCode.NOT_FOUND)
        return True

    poll_until(
        answered,
        timeout_seconds=FRESH_SECONDS,
        what=f"the read model has {receipt.topic} {receipt.partition} {receipt.offset}",
        interval_seconds=0.3,
    )


def _alert_ends(bootstrap: str) -> list[int]:
    """Return the next offset of each partition of the alerts, for readers of committed records."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    try:
        partitions = [TopicPartition(topics.name("alerts.v1"), n) for n in range(topics.PARTITIONS)]
        ends = consumer.end_offsets(partitions)
        return [ends[partition] for partition in partitions]
    finally:
        consumer.close()


def _has_passed(subscriber: Subscriber, ends: list[int]) -> bool:
    if not subscriber.cursor:
        return False
    positions = Delivery([], subscriber.cursor).positions()
    return all(position >= end for position, end in zip(positions, ends, strict=True))
