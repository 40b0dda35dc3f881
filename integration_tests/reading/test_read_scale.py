"""The read side with a city's worth of entities: only bounded commands, and no loss of Redis."""

from pathlib import Path

from market_supervision.alerts.v1 import alert_service_pb2 as alerts_api
from market_supervision.alerts.v1.alert_pb2 import AlertFilter, AlertTransition
from market_supervision.profiles.v1 import entity_profile_service_pb2 as api
from redis.asyncio import Redis

from integration_tests.reading.changelog_writer import (
    ChangelogWriter,
    Unit,
    alert,
    entity_state,
    timeline_entry,
    unit_of,
)
from integration_tests.reading.read_side import Client, ReadSide, eventually, read_side
from services.local.redis import LocalRedis
from services.readmodel.keys import partition_of

ENTITIES = 100_000
SEARCHING_COMMANDS = {"cmdstat_keys", "cmdstat_scan", "cmdstat_smembers"}


async def test_hundred_thousand_entities_are_served_without_searching(side: ReadSide) -> None:
    """Projecting, listing, paging and reading send no KEYS, SCAN or SMEMBERS."""
    redis = Redis.from_url(side.environment["REDIS_URL"])
    await redis.config_resetstat()
    names = [f"regno:{442_000_000_000_000 + number}" for number in range(ENTITIES)]
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        for start in range(0, ENTITIES, 10_000):
            units: dict[int, Unit] = {}
            for number, entity in enumerate(names[start : start + 10_000], start):
                unit = units.setdefault(partition_of(entity), unit_of(entity))
                unit.state(entity_state(entity, entity))
                if number % 10 == 0:
                    unit.entry(entity, timeline_entry(number, time_ms=number))
                if number % 100 == 0:
                    made = alert(entity, number, raised_ms=number)
                    unit.alert(made, AlertTransition.ALERT_TRANSITION_RAISED)
            await writer.commit(list(units.values()))
    projection = side.projection()
    async with Client(side.profiles()) as client:

        async def complete() -> bool:
            await client.alerts.ListAlerts(alerts_api.ListAlertsRequest(page_size=1))
            return True

        await eventually("the read model is complete", complete, seconds=200)
        for start in range(0, ENTITIES, 20_000):
            batch = await client.profiles.BatchGetEntityProfiles(
                api.BatchGetEntityProfilesRequest(
                    names=[f"entities/{name}" for name in names[start : start + 200]],
                    view=api.EntityProfileView.ENTITY_PROFILE_VIEW_FULL,
                )
            )
            assert all(result.HasField("response") for result in batch.results)
        found: list[int] = []
        token = ""
        while True:
            page = await client.alerts.ListAlerts(
                alerts_api.ListAlertsRequest(
                    filter=AlertFilter(rule_ids=["burst"]), page_size=300, page_token=token
                )
            )
            found += [int(item.alert_id, 16) for item in page.alerts]
            token = page.next_page_token
            if not token:
                break
        entries = await client.profiles.ListTimelineEntries(
            api.ListTimelineEntriesRequest(parent=f"entities/{names[10]}")
        )
    projection.stop()
    stats = await redis.info("commandstats")
    await redis.aclose()

    assert found == list(range(ENTITIES - 100, -1, -100))
    assert len(entries.entries) == 1
    assert stats["cmdstat_evalsha"]["calls"] > 0
    assert not SEARCHING_COMMANDS & stats.keys()


async def test_redis_that_dies_and_comes_back_empty_costs_time_not_data(
    kafka_bootstrap: str, side: ReadSide, run_directory: Path
) -> None:
    """The projection waits, begins anew, and what was committed meanwhile is there too."""
    del side  # its topics are used; its Redis is not
    entity = "regno:442000000000001"
    request = api.GetEntityProfileRequest(name=f"entities/{entity}")
    with LocalRedis(run_directory / "own-redis") as server:
        server_url = server.url
        with read_side(kafka_bootstrap, server_url, run_directory) as own:
            async with ChangelogWriter(kafka_bootstrap) as writer:

                async def rename(name: str) -> None:
                    unit = unit_of(entity)
                    unit.state(entity_state(entity, name))
                    await writer.commit([unit])

                await rename("before")
                projection = own.projection()
                async with Client(own.profiles()) as client:

                    async def name_is(name: str) -> bool:
                        answer = await client.profiles.GetEntityProfile(request)
                        return answer.profile.registration.name.value == name

                    await eventually("the first name", lambda: name_is("before"))
                    server.kill()
                    await rename("meanwhile")
                    server.start()
                    await eventually("the name given meanwhile", lambda: name_is("meanwhile"))
                    await rename("after")
                    await eventually("the last name", lambda: name_is("after"))
                projection.stop()
