"""Committed state → projection → Redis → profiles, each a real process."""

import grpc
import pytest
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


async def test_linked_keys_are_one_profile_with_one_timeline(side: ReadSide) -> None:
    """By either key one profile is found, which names the other and shows what it still holds."""
    old = "regno:442000000000001"
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        first = unit_of(old)
        first.state(entity_state(old, "old name"))
        for number in range(30):
            first.entry(old, timeline_entry(number, time_ms=1_000 * number))
        await writer.commit([first])
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            link = unit_of(old)
            linked_away = entity_state(old, "old name")
            linked_away.linked_to = ENTITY
            link.state(linked_away)
            link.link(old, ENTITY)
            await writer.commit([link])

            async def linked() -> api.GetEntityProfileResponse | None:
                answer = await client.profiles.GetEntityProfile(
                    api.GetEntityProfileRequest(name=f"entities/{old}")
                )
                return answer if answer.profile.name == f"entities/{ENTITY}" else None

            by_old = await eventually("the link is followed", linked)
            assert by_old.profile.linked_keys == [old]
            assert by_old.profile.registration.name.value == "old name"

            second = unit_of(ENTITY)
            second.state(entity_state(ENTITY, "new name"))
            second.entry(ENTITY, timeline_entry(100, time_ms=15_500))
            await writer.commit([second])

            async def renamed() -> bool:
                answers = await client.profiles.BatchGetEntityProfiles(
                    api.BatchGetEntityProfilesRequest(
                        names=[f"entities/{old}", f"entities/{ENTITY}"]
                    )
                )
                profiles = [result.response.profile for result in answers.results]
                assert profiles[0] == profiles[1]
                if profiles[0].registration.name.value != "new name":
                    return False
                (unmerged,) = profiles[0].unmerged_profiles
                assert unmerged.name == f"entities/{old}"
                assert unmerged.registration.name.value == "old name"
                return True

            await eventually("the new key's facts are found by both", renamed)

            async def merged() -> list[str]:
                ids = await _whole_timeline(client, f"entities/{old}", page_size=7)
                return ids if len(ids) == 31 else []

            ids = await eventually("both keys' facts are on the timeline", merged)
            expected = [*range(29, 15, -1), 100, *range(15, -1, -1)]
            assert ids == [f"event-{number}-1" for number in expected]


async def test_timeline_older_than_redis_keeps_is_read_from_the_log(side: ReadSide) -> None:
    """Old pages hold what the log holds at the pointers, in its newest version."""
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        unit = unit_of(ENTITY)
        unit.state(entity_state(ENTITY, "x"))
        for number in range(120):
            unit.entry(ENTITY, timeline_entry(number, time_ms=1_000 * number))
        await writer.commit([unit])
        correction = unit_of(ENTITY)
        correction.entry(ENTITY, timeline_entry(50, time_ms=50_000, version=2))
        await writer.commit([correction])
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            ids = await _whole_timeline(client, f"entities/{ENTITY}", page_size=50)
            page = await client.profiles.ListTimelineEntries(
                api.ListTimelineEntriesRequest(parent=f"entities/{ENTITY}", page_size=1)
            )
            with pytest.raises(aio.AioRpcError) as foreign:
                await client.profiles.ListTimelineEntries(
                    api.ListTimelineEntriesRequest(
                        parent="entities/regno:442000000000009", page_token=page.next_page_token
                    )
                )

    versions = {number: 2 if number == 50 else 1 for number in range(120)}
    assert ids == [f"event-{n}-{versions[n]}" for n in range(119, -1, -1)]
    assert foreign.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(foreign.value) == "PAGE_TOKEN_INVALID"


async def test_freshness_of_a_receipt_is_waited_for(side: ReadSide) -> None:
    """An answer at least as fresh as a receipt comes when its unit is passed, not before."""
    receipt = Receipt(topic=topics.name("complaints.v1"), partition=partition_of(ENTITY), offset=4)
    request = api.GetEntityProfileRequest(name=f"entities/{ENTITY}", at_least_as_fresh_as=receipt)
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        unit = unit_of(ENTITY)
        unit.state(entity_state(ENTITY, "before"))
        await writer.commit([unit], {"complaints.v1": Applied(4, 1_700_000_000_000)})
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            with pytest.raises(aio.AioRpcError) as early:
                await client.profiles.GetEntityProfile(request, timeout=1.0)
            waiting = client.profiles.GetEntityProfile(request, timeout=9.0)
            unit = unit_of(ENTITY)
            unit.state(entity_state(ENTITY, "after"))
            await writer.commit([unit], {"complaints.v1": Applied(5, 1_700_000_001_000)})
            answer = await waiting

    assert early.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(early.value) == "FRESHNESS_NOT_REACHED"
    assert answer.profile.registration.name.value == "after"
    (complaints,) = [f for f in answer.freshness if f.family == "complaints"]
    assert complaints.next_offset == 5


async def test_bad_requests_name_the_field_in_both_languages(side: ReadSide) -> None:
    """A wrong USCC, an unknown scheme, a bad receipt each get a clear error."""
    side.projection().wait_ready()
    requests = {
        "ENTITY_KEY_INVALID": [
            api.GetEntityProfileRequest(name="entities/uscc:91442000XX00000011"),
            api.GetEntityProfileRequest(name="entities/passport:E12345678"),
        ],
        "FIELD_INVALID": [
            api.GetEntityProfileRequest(name="companies/uscc:91442000XX00000010"),
            api.GetEntityProfileRequest(
                name=f"entities/{ENTITY}", at_least_as_fresh_as=Receipt(topic="nonsense")
            ),
        ],
    }
    async with Client(side.profiles()) as client:
        for expected, bad_requests in requests.items():
            for request in bad_requests:
                with pytest.raises(aio.AioRpcError) as refused:
                    await client.profiles.GetEntityProfile(request)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert reason(refused.value) == expected
        batch = await client.profiles.BatchGetEntityProfiles(
            api.BatchGetEntityProfilesRequest(
                names=["entities/uscc:91442000XX00000011", f"entities/{ENTITY}"]
            )
        )

    assert [result.status.code for result in batch.results] == [
        grpc.StatusCode.INVALID_ARGUMENT.value[0],
        grpc.StatusCode.NOT_FOUND.value[0],
    ]


async def _whole_timeline(client: Client, parent: str, page_size: int) -> list[str]:
    """Return the event ids of all pages."""
    ids: list[str] = []
    token = ""
    while True:
        page = await client.profiles.ListTimelineEntries(
            api.ListTimelineEntriesRequest(parent=parent, page_size=page_size, page_token=token)
        )
        assert len(page.entries) <= page_size
        ids += [entry.event_id for entry in page.entries]
        token = page.next_page_token
        if not token:
            return ids
