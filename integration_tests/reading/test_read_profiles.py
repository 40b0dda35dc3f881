"""Committed state → projection → Redis → profiles, each a real process."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.profiles.v1 import entity_profile_service_pb2 as api
from market_supervision.profiles.v1.entity_profile_pb2 import RegistrationStatus

from integration_tests.reading.changelog_writer import (
    ChangelogWriter,
    entity_state,
    timeline_entry,
    unit_of,
)
from integration_tests.reading.read_side import Client, ReadSide, eventually, reason
from services.contracts import topics
from services.readmodel.keys import partition_of
from services.streaming.meta import Applied

ENTITY = "uscc:91442000XX00000010"


@pytest.mark.timeout(60)
async def test_profile_of_a_committed_entity_is_answered_with_freshness(side: ReadSide) -> None:
    """What was committed is answered under any spelling of the key; what was aborted never is."""
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        aborted = unit_of("regno:442000000000001")
        aborted.state(entity_state("regno:442000000000001", "never"))
        await writer.abort(aborted)
        unit = unit_of(ENTITY)
        unit.state(entity_state(ENTITY, "中山市某某食品店"))
        await writer.commit([unit], {"complaints.v1": Applied(0, 0)})
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            spelled = api.GetEntityProfileRequest(name="entities/uscc:９１４４２０００xx00000010")
            answer = await client.profiles.GetEntityProfile(spelled)
            with pytest.raises(aio.AioRpcError) as unknown:
                await client.profiles.GetEntityProfile(
                    api.GetEntityProfileRequest(name="entities/regno:442000000000001")
                )

    assert answer.profile.name == f"entities/{ENTITY}"
    assert answer.profile.registration.name.value == "中山市某某食品店"
    assert answer.profile.registration.status == RegistrationStatus.REGISTRATION_STATUS_ACTIVE
    assert [f.family for f in answer.freshness] == [
        "registration", "inspections", "complaints", "penalties",
    ]  # fmt: skip
    assert all(f.lag_records == 0 and f.lag_seconds < 2 for f in answer.freshness)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason(unknown.value) == "ENTITY_NOT_FOUND"
