"""Clients of the query side during a round: alert subscribers and profile queriers.

Both write down what they are told, for the judge. A subscriber connects again with its last cursor
whatever happened; a querier asks again. What either must never be told is a violation at once.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from market_supervision.alerts.v1 import alert_service_pb2 as alerts
from market_supervision.alerts.v1.alert_pb2 import SEVERITY_ORANGE, SEVERITY_RED, AlertFilter
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.judge.answer_log import AnswerWriter
from integration_tests.judge.recordings import EARLIEST, RecordingWriter
from integration_tests.nemesis.stage import Stage
from integration_tests.nemesis.submitters import Tally
from services.importing.intake_client import open_channel
from services.runtime.clock import now_ms

PAUSE_SECONDS = 0.2
QUERY_SECONDS = 8.0
QUERIES_A_CHANNEL = 50
RECEIPT_SHARE = 0.2
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    # A port that died may belong to another service by now.
    grpc.StatusCode.UNIMPLEMENTED,
}
"""Codes after which a reader tries again; any other is not to be met here."""

FILTERS = (AlertFilter(), AlertFilter(severities=[SEVERITY_ORANGE, SEVERITY_RED]))


class Subscriber:
    """One alert subscriber: from the first record on, with its cursor ever after."""

    def __init__(self, stage: Stage, name: str, wanted: AlertFilter, file: Path) -> None:
        self.name, self.file = name, file
        self.records: list[str] = []
        """Ids of the records delivered, in order."""
        self.connections = 0
        self.violations: list[str] = []
        self._stage, self._wanted = stage, wanted
        self.cursor = ""
        self._recording = RecordingWriter(file)
        self._recording.subscribed(name, EARLIEST, wanted)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                address = self._stage.endpoint("profiles")
                if address:
                    async with open_channel(address) as channel:
                        await self._watch(channel)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._recording.close()

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        request = alerts.WatchAlertsRequest(filter=self._wanted, cursor=self.cursor)
        if not self.cursor:
            request.start = alerts.WATCH_START_EARLIEST
        self.connections += 1
        try:
            async for message in AlertServiceStub(channel).WatchAlerts(request):
                self._recording.received(message, now_ms())
                self.records += [record.alert_event_id for record in message.records]
                self.cursor = message.cursor
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN:
                told = f"{self.name} is told {error.code().name}: {error.details()}"
                self.violations.append(told)


@dataclass(slots=True)
class Querier:
    """Asks for profiles of entities that were acknowledged, some at least as fresh as a receipt."""

    stage: Stage
    tally: Tally
    seed: int
    name: str
    file: Path
    pause_s: float = 0.1
    """Mean time between two queries."""
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Ask until cancelled."""
        rng = random.Random(f"{self.name}/{self.seed}")
        log = AnswerWriter(self.file, self.name)
        try:
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                address = self.stage.endpoint("profiles")
                if not self.tally.acknowledged or not address:
                    continue
                async with open_channel(address) as channel:
                    stub = EntityProfileServiceStub(channel)
                    for _ in range(QUERIES_A_CHANNEL):
                        if not await self._ask(stub, rng, log):
                            break
                        await asyncio.sleep(rng.uniform(0, 2 * self.pause_s))
        finally:
            log.close()

    async def _ask(self, stub: Any, rng: random.Random, log: AnswerWriter) -> bool:
        """Ask for one profile; return whether the service is there."""
        item = rng.choice(self.tally.acknowledged)
        receipt: Receipt | None = None
        if rng.random() < RECEIPT_SHARE:
            receipt = rng.choice(list(self.tally.newest.values()))
        entity = receipt.entity_key if receipt is not None else item.entity
        request = profiles.GetEntityProfileRequest(
            name=f"entities/{entity}",
            view=profiles.ENTITY_PROFILE_VIEW_FULL,
            at_least_as_fresh_as=receipt,
        )
        try:
            answer = await stub.GetEntityProfile(request, timeout=QUERY_SECONDS)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            self.answers[code.name] += 1
            log.refused(entity, code.name, now_ms())
            if code is grpc.StatusCode.NOT_FOUND and receipt is None:
                return True  # acknowledged, but not yet in the read model, and not promised to be
            if code not in AGAIN:
                told = f"asking for {entity} ({receipt}): {code.name}: {error.details()}"
                self.violations.append(told)
            return code is grpc.StatusCode.DEADLINE_EXCEEDED
        self.answers["OK"] += 1
        log.answered(entity, answer, now_ms())
        return True


def subscribers(stage: Stage, directory: Path, count: int) -> list[Subscriber]:
    """Return subscribers with the filters in turn."""
    return [
        Subscriber(stage, f"s{n}", FILTERS[n % len(FILTERS)], directory / f"subscriber-{n}.jsonl")
        for n in range(count)
    ]
