"""The gRPC face of an intake: one implementation of Submit, BatchSubmit and StreamSubmit.

The four services differ in their messages only, so their request and response classes are looked
up by name in the module generated from each contract.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from market_supervision.common.v1.error_reason_pb2 import ErrorReason
from market_supervision.intake.v1.intake_pb2 import (
    Receipt,
    Refusal,
    SubmissionOutcome,
    UnknownOutcome,
)

from services.contracts.labels import Label
from services.intake import refusals
from services.intake.engine import IntakeEngine, Outcome
from services.intake.violations import contract_violations, violation
from services.runtime.errors import OutcomeUnknownError, ServiceError, status_of

CLIENT_METADATA: Final = "x-client-id"
"""Request metadata in which a client names itself. Not authenticated: there are no access policies
yet, and the server answers this machine only."""
CLIENT_FORM: Final = re.compile(r"[A-Za-z0-9._:/@-]{1,64}")
CLIENT_CHARACTERS_MAX: Final = 128

BATCH_EVENTS_MAX: Final = 1_000
"""Events of one BatchSubmit, as the contract says."""
STREAM_EVENTS_UNDER_WAY_MAX: Final = 2_000
"""Events of one stream that were read and whose outcome was not yet taken by the client."""
STREAM_CHUNK_EVENTS_MAX: Final = 500
"""Events of one stream submitted together."""
STREAM_CHUNKS_MAX: Final = 3
"""Chunks of one stream under way; meanwhile arriving events gather for the next one."""

_CLIENT_FORM_TEXT: Final = Label(
    zh="客户端名称应为 1 至 64 个字母、数字或 . _ : / @ -",
    en="a client's name is 1 to 64 letters, digits and . _ : / @ -",
)

Context = grpc.aio.ServicerContext[Any, Any]


class IntakeServicer:
    """Serves one family; ``messages`` is its generated service module."""

    def __init__(self, family: str, engine: IntakeEngine, messages: Any) -> None:
        self._family = family
        self._engine = engine
        self._messages = messages

    async def Submit(self, request: Any, context: Context) -> Any:
        """Take one event; every outcome but a receipt is raised as an error."""
        (outcome,) = await self._engine.submit([request.event], client_of(self._family, context))
        if isinstance(outcome, ServiceError):
            raise outcome
        return self._messages.SubmitResponse(receipt=outcome)

    async def BatchSubmit(self, request: Any, context: Context) -> Any:
        """Take many events, each on its own."""
        if not 1 <= len(request.events) <= BATCH_EVENTS_MAX:
            raise refusals.refusal(self._family, contract_violations(request))
        outcomes = await self._engine.submit(request.events, client_of(self._family, context))
        return self._messages.BatchSubmitResponse(
            outcomes=[submission_outcome(number, each) for number, each in enumerate(outcomes)]
        )

    async def StreamSubmit(
        self, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """Take events as they come; read no further while too many are under way."""
        if not self._engine.is_ready:
            raise refusals.not_ready()
        stream = _Stream(self._family, self._engine, client_of(self._family, context))
        reading = asyncio.create_task(stream.read(requests))
        try:
            while (outcomes := await stream.settled()) is not None:
                for outcome in outcomes:
                    yield self._messages.StreamSubmitResponse(outcome=outcome)
                    stream.taken()
            await reading
        finally:
            reading.cancel()
            stream.cancel()


class _Stream:
    """The events of one stream between being read and their outcomes being taken."""

    def __init__(self, family: str, engine: IntakeEngine, client: str) -> None:
        self._family = family
        self._engine = engine
        self._client = client
        self._room = asyncio.Semaphore(STREAM_EVENTS_UNDER_WAY_MAX)
        self._gathered: list[Any] = []
        self._chunks: set[asyncio.Task[None]] = set()
        self._settled: asyncio.Queue[list[SubmissionOutcome] | BaseException | None] = (
            asyncio.Queue()
        )
        self._all_read = False

    async def read(self, requests: AsyncIterator[Any]) -> None:
        """Read the stream to its end, waiting whenever there is no room."""
        try:
            async for request in requests:
                await self._room.acquire()
                self._gathered.append(request)
                self._submit_gathered()
        finally:
            self._all_read = True
            self._end_if_done()

    def _submit_gathered(self) -> None:
        while self._gathered and len(self._chunks) < STREAM_CHUNKS_MAX:
            chunk = self._gathered[:STREAM_CHUNK_EVENTS_MAX]
            del self._gathered[:STREAM_CHUNK_EVENTS_MAX]
            task = asyncio.create_task(self._submit(chunk))
            self._chunks.add(task)
            task.add_done_callback(self._on_chunk_done)

    async def _submit(self, chunk: Sequence[Any]) -> None:
        refused = [
            submission_outcome(request.sequence, refusals.refusal(self._family, wrong))
            for request in chunk
            if (wrong := _sequence_violations(request.sequence))
        ]
        valid = [request for request in chunk if request.sequence >= 0]
        outcomes = await self._engine.submit([request.event for request in valid], self._client)
        self._settled.put_nowait(
            refused
            + [
                submission_outcome(request.sequence, outcome)
                for request, outcome in zip(valid, outcomes, strict=True)
            ]
        )

    def _on_chunk_done(self, task: asyncio.Task[None]) -> None:
        self._chunks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._settled.put_nowait(error)
            return
        self._submit_gathered()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._all_read and not self._gathered and not self._chunks:
            self._settled.put_nowait(None)

    async def settled(self) -> list[SubmissionOutcome] | None:
        """Return the next outcomes, None when there are no more."""
        outcomes = await self._settled.get()
        if isinstance(outcomes, BaseException):
            raise outcomes
        return outcomes

    def taken(self) -> None:
        """The client took one outcome: there is room for another event."""
        self._room.release()

    def cancel(self) -> None:
        """Give up waiting; what was handed over is published all the same."""
        for task in self._chunks:
            task.cancel()


def submission_outcome(sequence: int, outcome: Outcome) -> SubmissionOutcome:
    """Return the message that tells what became of one event."""
    if isinstance(outcome, Receipt):
        return SubmissionOutcome(sequence=sequence, receipt=outcome)
    if isinstance(outcome, OutcomeUnknownError):
        return SubmissionOutcome(
            sequence=sequence, unknown=UnknownOutcome(status=status_of(outcome))
        )
    return SubmissionOutcome(sequence=sequence, refusal=Refusal(status=status_of(outcome)))


def client_of(family: str, context: Context) -> str:
    """Return who submits: the name given in the metadata, else the machine it comes from.

    Raises the refusal of a call whose client names itself by anything but a code: the name is
    written into every event.
    """
    for name, value in context.invocation_metadata() or ():
        if name == CLIENT_METADATA:
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            if not CLIENT_FORM.fullmatch(text):
                reason = ErrorReason.ERROR_REASON_FIELD_INVALID
                raise refusals.refusal(
                    family, [violation(CLIENT_METADATA, text, reason, _CLIENT_FORM_TEXT)]
                )
            return text
    machine, _, _ = context.peer().rpartition(":")
    return f"unauthenticated:{machine}"[:CLIENT_CHARACTERS_MAX]


def _sequence_violations(sequence: int) -> list[Any]:
    if sequence >= 0:
        return []
    text = Label(zh="不得小于 0", en="must be 0 or more")
    return [violation("sequence", sequence, ErrorReason.ERROR_REASON_FIELD_INVALID, text)]
