"""Clients of the query side during a round: alert subscribers and profile queriers.

Both write down what they are told, for the judge. A subscriber connects again with its last cursor
whatever happened; a querier asks again. What either must never be told is a violation at once.
"""

import asyncio
import random
from collections import Counter
from contextlib import suppress
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
CUTS_A_CHANNEL = 30
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

    def __init__(
        self,
        stage: Stage,
        name: str,
        wanted: AlertFilter,
        file: Path | None,
        cut_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        """``cut_s``: mean time after which it cuts its own connection; 0: never.

        ``file``: its recording for the judge; None: it keeps none.
        """
        self.name, self.file = name, file
        self.records: list[str] = []
        """Ids of the records delivered, in order."""
        self.connections = 0
        self.violations: list[str] = []
        self._stage, self._wanted = stage, wanted
        self.cursor = ""
        self._cut_s, self._rng = cut_s, random.Random(f"{name}/{seed}")
        self._recording = None if file is None else RecordingWriter(file)
        if self._recording is not None:
            self._recording.subscribed(name, EARLIEST, wanted)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                address = self._stage.endpoint("profiles")
                if address:
                    async with open_channel(address) as channel:
                        await self._follow(channel)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if self._recording is not None:
                self._recording.close()

    async def _follow(self, channel: grpc.aio.Channel) -> None:
        """Watch until the connection ends, or watch again and again while it holds."""
        if not self._cut_s:
            await self._watch(channel)
            return
        for _ in range(CUTS_A_CHANNEL):
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._watch(channel), self._rng.uniform(0.0, 2 * self._cut_s)
                )

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        request = alerts.WatchAlertsRequest(filter=self._wanted, cursor=self.cursor)
        if not self.cursor:
            request.start = alerts.WATCH_START_EARLIEST
        self.connections += 1
        try:
            async for message in AlertServiceStub(channel).WatchAlerts(request):
                self._take(message)
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN:
                told = f"{self.name} is told {error.code().name}: {error.details()}"
                self.violations.append(told)

    def _take(self, message: alerts.WatchAlertsResponse) -> None:
        """Write the message down, then keep its cursor."""
        if self._recording is not None:
            self._recording.received(message, now_ms())
        self.records += [record.alert_event_id for record in message.records]
        self.cursor = message.cursor


class ForgetfulSubscriber(Subscriber):
    """One that keeps every third cursor, as a client does that acknowledges now and then.

    After a lost connection it is told again what it forgot: the same records, at least once each.
    """

    def __init__(self, stage: Stage, name: str, wanted: AlertFilter, file: Path | None) -> None:
        super().__init__(stage, name, wanted, file)
        self.again = 0
        """Records that came again and were recognised by their ids."""
        self._seen: set[str] = set()
        self._messages = 0

    def _take(self, message: alerts.WatchAlertsResponse) -> None:
        for record in message.records:
            if record.alert_event_id in self._seen:
                self.again += 1
            else:
                self._seen.add(record.alert_event_id)
                self.records.append(record.alert_event_id)
        self._messages += 1
        if self._messages % 3 == 0:
            self.cursor = message.cursor


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
    _known: set[str] = field(default_factory=set)
    """Entities it was given a profile of: none of them may be unknown ever after."""

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
            if code is grpc.StatusCode.NOT_FOUND and receipt is None and entity not in self._known:
                return True  # acknowledged, but not yet in the read model, and not promised to be
            if code not in AGAIN:
                told = f"asking for {entity} ({receipt}): {code.name}: {error.details()}"
                self.violations.append(told)
            return code is grpc.StatusCode.DEADLINE_EXCEEDED
        self.answers["OK"] += 1
        self._known.add(entity)
        log.answered(entity, answer, now_ms())
        return True


def subscribers(
    stage: Stage, directory: Path, count: int, cut_s: float, seed: int
) -> list[Subscriber]:
    """Return subscribers with the filters in turn; ``cut_s`` as of `Subscriber`."""
    return [
        Subscriber(
            stage,
            f"s{n}",
            FILTERS[n % len(FILTERS)],
            directory / f"subscriber-{n}.jsonl",
            cut_s,
            seed,
        )
        for n in range(count)
    ]
