"""Clients of the intakes: they submit, write their history, and send unknown outcomes again.

A client that is answered "unknown" does what docs/how-to/write-a-client.md says: it sends the same
event again until it is told. Some acknowledged events are sent twice all the same.
"""

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from market_supervision.intake.v1.intake_pb2 import Receipt, SubmissionOutcome

from integration_tests.judge.history import HistoryWriter
from integration_tests.nemesis.stage import Stage
from integration_tests.nemesis.submissions import Item
from services.importing.intake_client import INTAKE_CLIENTS, open_channel
from services.local.system import INTAKES
from services.runtime.clock import now_ms

ANSWER_SECONDS = 12.0
"""An intake answers OUTCOME_UNKNOWN after 10."""
PAUSE_SECONDS = 0.2
BATCH_MAX = 40
BATCH_SHARE = 0.3
AGAIN_SHARE = 0.03
CLIENTS_A_FAMILY = 2

REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
}
BUSY = {grpc.StatusCode.RESOURCE_EXHAUSTED}
"""Refused before anything was sent: nothing of it is on the log, and it may be sent again."""


@dataclass(slots=True)
class Tally:
    """What the clients were answered."""

    codes: Counter[str] = field(default_factory=Counter)
    receipts: dict[tuple[str, str, int], bytes] = field(default_factory=dict)
    """Source system, record and version → the receipt, in canonical bytes."""
    newest: dict[tuple[str, int], Receipt] = field(default_factory=dict)
    """Topic and partition → the receipt with the highest offset."""
    acknowledged: list[Item] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def take(self, item: Item, receipt: Receipt) -> None:
        """Keep a receipt; the same source version must always be given the same bytes."""
        envelope = item.event.envelope
        key = envelope.source_system, envelope.source_record_id, envelope.source_version
        data = receipt.SerializeToString(deterministic=True)
        if key not in self.receipts:
            self.receipts[key] = data
            self.acknowledged.append(item)
        elif self.receipts[key] != data:
            self.violations.append(f"two receipts of {key}: {receipt}")
        place = receipt.topic, receipt.partition
        if place not in self.newest or self.newest[place].offset < receipt.offset:
            self.newest[place] = receipt


class FamilyClient:
    """One client of one family's intake: one request at a time."""

    def __init__(
        self, stage: Stage, family: str, name: str, history: Path, tally: Tally, seed: int
    ) -> None:
        self.queue: deque[Item] = deque()
        self.family = family
        self._stage, self._tally = stage, tally
        self._history = HistoryWriter(history, name)
        self._rng = random.Random(f"{name}/{seed}")
        self._client = INTAKE_CLIENTS[family]
        self._channel: grpc.aio.Channel | None = None
        self._address = ""
        self.under_way = 0

    @property
    def idle(self) -> bool:
        """Whether everything it was given has a known outcome."""
        return not self.queue and not self.under_way

    async def run(self) -> None:
        """Submit what is queued until cancelled."""
        try:
            while True:
                if not self.queue:
                    await asyncio.sleep(0.01)
                    continue
                wanted = 1
                if len(self.queue) > 1 and self._rng.random() < BATCH_SHARE:
                    wanted = self._rng.randint(2, BATCH_MAX)
                items = [self.queue.popleft() for _ in range(min(wanted, len(self.queue)))]
                self.under_way = len(items)
                again = await self._submit(items)
                self.queue.extendleft(reversed(again))
                self.under_way = 0
                if again:
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._history.close()
            if self._channel is not None:
                await self._channel.close()

    async def _submit(self, items: list[Item]) -> list[Item]:
        """Submit as one request; return what has to be sent again."""
        stub = await self._stub()
        if stub is None:
            return items
        numbers = [
            self._history.invoke(self.family, item.event.envelope, now_ms()) for item in items
        ]
        messages = self._client.messages
        try:
            if len(items) == 1:
                request = messages.SubmitRequest(event=items[0].event)
                answer = await stub.Submit(request, timeout=ANSWER_SECONDS)
                outcomes = [SubmissionOutcome(receipt=answer.receipt)]
            else:
                request = messages.BatchSubmitRequest(events=[item.event for item in items])
                answer = await stub.BatchSubmit(request, timeout=ANSWER_SECONDS)
                outcomes = list(answer.outcomes)
        except grpc.aio.AioRpcError as error:
            self._address = ""
            kept = [self._note(*pair, error.code()) for pair in zip(items, numbers, strict=True)]
        else:
            triples = zip(items, numbers, outcomes, strict=True)
            kept = [self._settle(*triple) for triple in triples]
        return [item for item in kept if item is not None]

    def _settle(self, item: Item, number: int, outcome: SubmissionOutcome) -> Item | None:
        kind = outcome.WhichOneof("outcome")
        if kind == "receipt":
            self._tally.codes["OK"] += 1
            self._history.ok(number, self.family, item.event.envelope, outcome.receipt, now_ms())
            self._tally.take(item, outcome.receipt)
            return item if self._rng.random() < AGAIN_SHARE else None
        status = outcome.refusal.status if kind == "refusal" else outcome.unknown.status
        code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
        return self._note(item, number, code)

    def _note(self, item: Item, number: int, code: grpc.StatusCode) -> Item | None:
        self._tally.codes[code.name] += 1
        envelope = item.event.envelope
        if code in REFUSED | BUSY:
            self._history.fail(number, self.family, envelope, now_ms())
            return item if code in BUSY else None
        self._history.info(number, self.family, envelope, now_ms())
        return item

    async def _stub(self) -> Any:
        address = self._stage.endpoint(self.family)
        if not address:
            return None
        if address != self._address or self._channel is None:
            if self._channel is not None:
                await self._channel.close()
            self._channel, self._address = open_channel(address), address
        return self._client.stub(self._channel)


def clients(stage: Stage, history: Path, tally: Tally, seed: int) -> list[FamilyClient]:
    """Return the clients of all families."""
    return [
        FamilyClient(stage, family, f"{family}-{number}", history, tally, seed)
        for family in INTAKES
        for number in range(CLIENTS_A_FAMILY)
    ]
