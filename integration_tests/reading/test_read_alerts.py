"""Alerts: lists stay whole under writes, watches have no gap and no repeat."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from grpc import aio
from market_supervision.alerts.v1 import alert_service_pb2 as api
from market_supervision.alerts.v1.alert_pb2 import AlertFilter, AlertTransition, Severity
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub

from integration_tests.reading.changelog_writer import ChangelogWriter, Unit, alert, unit_of
from integration_tests.reading.read_side import Client, ReadSide, reason
from services.contracts.topics import PARTITIONS
from services.profiles.cursor import CursorSigner

ENTITIES = [f"regno:44200000000{number:04d}" for number in range(24)]
RAISED = AlertTransition.ALERT_TRANSITION_RAISED
EARLIEST = api.WatchStart.WATCH_START_EARLIEST


async def _raise(writer: ChangelogWriter, numbers: Sequence[int]) -> None:
    """Commit one alert for each number, its entity, rule and severity told by the number."""
    units: dict[int, Unit] = {}
    for number in numbers:
        entity = ENTITIES[number % len(ENTITIES)]
        unit = units.setdefault(unit_of(entity).partition, unit_of(entity))
        made = alert(
            entity,
            number,
            rule_id=f"rule-{number % 3}",
            severity=Severity.SEVERITY_RED if number % 5 == 0 else Severity.SEVERITY_BLUE,
            raised_ms=1_700_000_000_000 + number // 4,
        )
        unit.alert(made, RAISED)
    await writer.commit(list(units.values()))


@asynccontextmanager
async def _writer(side: ReadSide) -> AsyncIterator[ChangelogWriter]:
    async with ChangelogWriter(side.environment["KAFKA_BOOTSTRAP_SERVERS"]) as writer:
        yield writer


def _numbers(response: api.WatchAlertsResponse) -> list[int]:
    return [int(record.alert.alert_id, 16) for record in response.records]


async def _read(
    client: Client, request: api.WatchAlertsRequest, count: int, seconds: float = 30.0
) -> tuple[list[int], str]:
    """Return the alerts of a watch until there are ``count``, and the last cursor."""
    numbers: list[int] = []
    cursor = request.cursor
    call = client.alerts.WatchAlerts(request)
    async with asyncio.timeout(seconds):
        async for response in call:
            numbers += _numbers(response)
            cursor = response.cursor
            if len(numbers) >= count:
                break
    call.cancel()
    return numbers, cursor


async def test_list_of_alerts_by_filter_is_whole_and_stable_under_writes(side: ReadSide) -> None:
    """Pages by a filter hold each matching alert once, although more are raised meanwhile."""
    async with _writer(side) as writer:
        await _raise(writer, range(300))
        side.projection().wait_ready()
        async with Client(side.profiles()) as client:
            wanted = AlertFilter(severities=[Severity.SEVERITY_RED], rule_ids=["rule-0", "rule-1"])
            seen: list[int] = []
            token = ""
            for page_number in range(100):
                page = await client.alerts.ListAlerts(
                    api.ListAlertsRequest(filter=wanted, page_size=7, page_token=token)
                )
                seen += [int(found.alert_id, 16) for found in page.alerts]
                token = page.next_page_token
                if not token:
                    break
                await _raise(writer, [1_000 + page_number])
            with pytest.raises(aio.AioRpcError) as other_filter:
                await client.alerts.ListAlerts(
                    api.ListAlertsRequest(
                        page_token=(
                            await client.alerts.ListAlerts(
                                api.ListAlertsRequest(filter=wanted, page_size=1)
                            )
                        ).next_page_token
                    )
                )
            found = await client.alerts.GetAlert(api.GetAlertRequest(alert_id=f"{7:032x}"))
            with pytest.raises(aio.AioRpcError) as unknown:
                await client.alerts.GetAlert(api.GetAlertRequest(alert_id=f"{999_999:032x}"))

    expected = [n for n in range(300) if n % 5 == 0 and n % 3 in (0, 1)]
    old = [number for number in seen if number < 1_000]
    assert sorted(old) == expected
    assert old == sorted(old, key=lambda number: (-(number // 4), -number))
    assert reason(other_filter.value) == "PAGE_TOKEN_INVALID"
    assert found.alert.rule.rule_id == "rule-1"
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason(unknown.value) == "ALERT_NOT_FOUND"


async def test_watch_resumes_from_the_first_alert_after_a_restart(side: ReadSide) -> None:
    """With a filter and the first message's cursor: nothing is missing, nothing comes twice."""
    wanted = AlertFilter(rule_ids=["rule-1"])
    expected = [n for n in range(200) if n % 3 == 1]
    async with _writer(side) as writer:
        await _raise(writer, range(100))
        first_server = side.profiles()
        async with Client(first_server) as client:
            request = api.WatchAlertsRequest(filter=wanted, start=EARLIEST)
            before, cursor = await _read(client, request, 1)
        first_server.stop()
        await _raise(writer, range(100, 150))
        async with Client(side.profiles()) as client:
            request = api.WatchAlertsRequest(filter=wanted, cursor=cursor)
            reading = asyncio.create_task(_read(client, request, len(expected) - len(before)))
            await asyncio.sleep(1)
            await _raise(writer, range(150, 200))
            after, cursor = await reading
            idle = client.alerts.WatchAlerts(api.WatchAlertsRequest(filter=wanted, cursor=cursor))
            nothing_more = await idle.read()
            idle.cancel()

    assert isinstance(nothing_more, api.WatchAlertsResponse)
    assert nothing_more.checkpoint
    assert not nothing_more.records
    assert sorted(before + after) == expected
    for entity in range(len(ENTITIES)):
        of_entity = [n for n in before + after if n % len(ENTITIES) == entity]
        assert of_entity == sorted(of_entity)


async def test_watch_with_a_cursor_that_cannot_be_honoured_is_refused(side: ReadSide) -> None:
    """Another filter, beyond the end, forged, or none at all: an error, never a silent skip."""
    wanted = AlertFilter(rule_ids=["rule-1"])
    async with _writer(side) as writer:
        await _raise(writer, range(50))
        async with Client(side.profiles(cursor_key="k" * 32)) as client:
            _, cursor = await _read(
                client, api.WatchAlertsRequest(filter=wanted, start=EARLIEST), 10
            )
            signer = CursorSigner(b"k" * 32)
            signed = signer.decode(cursor)
            refused = {}
            for name, request in {
                "filter": api.WatchAlertsRequest(cursor=cursor),
                "forged": api.WatchAlertsRequest(
                    filter=wanted,
                    cursor=("A" if cursor[30] != "A" else "B").join([cursor[:30], cursor[31:]]),
                ),
                "garbage": api.WatchAlertsRequest(filter=wanted, cursor="???"),
                "topic": api.WatchAlertsRequest(
                    filter=wanted, cursor=signer.encode(replace(signed, topic_id=b"t" * 16))
                ),
                "beyond": api.WatchAlertsRequest(
                    filter=wanted,
                    cursor=signer.encode(replace(signed, positions=(1_000_000,) * PARTITIONS)),
                ),
            }.items():
                with pytest.raises(aio.AioRpcError) as error:
                    await client.alerts.WatchAlerts(request).read()
                refused[name] = (error.value.code(), reason(error.value))

    assert refused == {
        "filter": (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE"),
        "topic": (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE"),
        "beyond": (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE"),
        "forged": (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID"),
        "garbage": (grpc.StatusCode.INVALID_ARGUMENT, "CURSOR_INVALID"),
    }


async def test_fifty_watches_with_one_stopped_have_no_gap_and_no_repeat(side: ReadSide) -> None:
    """Who reads on is not held up; who stopped is cut with a cursor, and misses nothing by it."""
    total = 4_000
    settings = {"watch__stall_seconds": "2", "watch__queue_messages_max": "4"}
    async with _writer(side) as writer, Client(side.profiles(**settings)) as client:
        request = api.WatchAlertsRequest(start=EARLIEST)
        # Kept from reading by its own flow control: a small window, and nobody who takes messages.
        async with aio.insecure_channel(
            client.address, options=[("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0)]
        ) as slow_channel:
            slow = AlertServiceStub(slow_channel).WatchAlerts(request)
            first = await slow.read()
            assert isinstance(first, api.WatchAlertsResponse)
            watching = [
                asyncio.create_task(_read(client, request, total, seconds=120)) for _ in range(49)
            ]
            for start in range(0, total, 100):
                await _raise(writer, range(start, start + 100))
            for task in watching:
                numbers, _ = await task
                assert sorted(numbers) == list(range(total))

            # On a fast machine the others are done before the stall is over: only now is it one.
            await asyncio.sleep(3)
            taken = _numbers(first)
            cursor = first.cursor
            cut: aio.AioRpcError | None = None
            while cut is None:
                try:
                    response = await asyncio.wait_for(slow.read(), 30)
                    assert len(taken) < total, "never cut, although it read nothing for so long"
                except aio.AioRpcError as error:
                    cut = error
                else:
                    assert isinstance(response, api.WatchAlertsResponse)
                    taken += _numbers(response)
                    cursor = response.cursor
        assert cut.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason(cut) == "SUBSCRIBER_TOO_SLOW"
        assert len(taken) < total
        rest, _ = await _read(
            client, api.WatchAlertsRequest(cursor=cursor), total - len(taken), seconds=60
        )
        assert sorted(taken + rest) == list(range(total))
