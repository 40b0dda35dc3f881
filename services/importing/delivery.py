"""Sending events through the bulk streams, until the outcome of each is known (投递).

One stream a family. An event whose outcome is unknown, because the stream broke, the service said
so or it was busy, is sent again after a pause: a second sending has no second effect. When nothing
gets settled for `patience_s`, the delivery gives up with OutcomeUnknownError.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc

from services.contracts.families import FamilyEvent
from services.contracts.labels import Label
from services.importing import outcomes
from services.importing.endpoints import Endpoints
from services.importing.errors import ImportingError, OutcomeUnknownError, ServiceRefusedError
from services.importing.intake_client import CLIENT_METADATA, INTAKE_CLIENTS, open_channel

SILENCE_SECONDS_MAX: Final = 20.0
"""A stream that owes answers and gives none for this long is opened anew."""

PAUSE_SECONDS_MIN: Final = 0.1
PAUSE_SECONDS_MAX: Final = 5.0

_NEVER_CODES = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
)


def pause_s(attempt: int) -> float:
    """Return how long to wait before the next attempt, in seconds: doubling up to a bound."""
    return float(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2 ** min(attempt, 16)))


@dataclass(slots=True)
class Submission:
    """One event on its way."""

    sequence: int
    event: FamilyEvent
    on_final: Callable[[outcomes.Final], None]
    attempts: int = 0


class _FamilyStream:
    """The stream of one family and what is on it."""

    def __init__(self, family: str, address: str, patience_s: float) -> None:
        self._family = family
        self._address = address
        self._patience_s = patience_s
        self._client = INTAKE_CLIENTS[family]
        self._to_send: deque[Submission] = deque()
        self._under_way: dict[int, Submission] = {}
        self._outstanding = 0
        self._closing = False
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._settled_at = self._loop.time()
        self._last_trouble = "no answer"
        self._silence: asyncio.Timeout | None = None
        """The wait for the next answer, while there is one."""
        self.sent_again = 0

    def submit(self, submission: Submission) -> None:
        """Take an event; its outcome comes through `on_final`."""
        if self._outstanding == 0:
            self._settled_at = self._loop.time()
        self._outstanding += 1
        if self._outstanding == 1:
            self._mind_silence()
        self._queue(submission)

    def close(self) -> None:
        """Say that no more events come; `run` ends when all are settled."""
        self._closing = True
        self._news.set()

    def _queue(self, submission: Submission) -> None:
        self._to_send.append(submission)
        self._news.set()

    async def run(self) -> None:
        """Keep a stream open until everything is settled; raises when that cannot be."""
        async with open_channel(self._address) as channel:
            failures = 0
            while not (self._closing and self._outstanding == 0):
                settled_before = self._settled_at
                try:
                    await self._stream(self._client.stub(channel))
                except (grpc.aio.AioRpcError, TimeoutError) as error:
                    self._note_failure(error)
                self._take_back()
                failures = 0 if self._settled_at > settled_before else failures + 1
                self._refuse_to_wait_longer()
                if self._outstanding:
                    await asyncio.sleep(pause_s(failures))

    async def _stream(self, stub: Any) -> None:
        await self._something_to_send()
        call = stub.StreamSubmit(metadata=CLIENT_METADATA)
        writing = asyncio.create_task(self._write(call))
        try:
            while True:
                response = await self._read(call)
                if response is grpc.aio.EOF:
                    break
                self._on_outcome(response.outcome)
                if self._closing and self._outstanding == 0:
                    self._news.set()
        finally:
            writing.cancel()
            call.cancel()

    async def _read(self, call: Any) -> Any:
        """Wait for an answer; raises TimeoutError when one is owed and none comes."""
        try:
            async with asyncio.timeout(None) as self._silence:
                self._mind_silence()
                return await call.read()
        finally:
            self._silence = None

    def _mind_silence(self) -> None:
        # By what is outstanding, not by what is on the stream: that may be nothing for a moment.
        if self._silence is not None and self._outstanding:
            self._silence.reschedule(self._loop.time() + SILENCE_SECONDS_MAX)

    async def _something_to_send(self) -> None:
        while not self._to_send and not self._closing:
            self._news.clear()
            await self._news.wait()

    async def _write(self, call: Any) -> None:
        request_class = self._client.messages.StreamSubmitRequest
        while not (self._closing and self._outstanding == 0):
            while self._to_send:
                submission = self._to_send.popleft()
                self._under_way[submission.sequence] = submission
                request = request_class(sequence=submission.sequence)
                request.event.CopyFrom(submission.event)
                await call.write(request)
            self._news.clear()
            await self._news.wait()
        await call.done_writing()

    def _on_outcome(self, outcome: Any) -> None:
        submission = self._under_way.pop(outcome.sequence, None)
        if submission is None:
            return
        found = outcomes.read_outcome(outcome)
        if isinstance(found, outcomes.SendAgain):
            self._last_trouble = found.message
            self._refuse_to_wait_longer()
            self._again_later(submission)
            return
        self._outstanding -= 1
        self._settled_at = self._loop.time()
        submission.on_final(found)

    def _again_later(self, submission: Submission) -> None:
        self.sent_again += 1
        self._loop.call_later(pause_s(submission.attempts), self._queue, submission)
        submission.attempts += 1

    def _take_back(self) -> None:
        """Queue again what the broken stream still owed, in the order it was first sent."""
        self.sent_again += len(self._under_way)
        self._to_send.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()

    def _note_failure(self, error: grpc.aio.AioRpcError | TimeoutError) -> None:
        if isinstance(error, grpc.aio.AioRpcError):
            detail = f"{error.code().name}: {error.details()}"
            if error.code() in _NEVER_CODES:
                raise ServiceRefusedError(
                    Label(
                        f"{self._family}接收服务 ({self._address}) 拒绝调用: {detail}",
                        f"the intake of {self._family} ({self._address}) refuses: {detail}",
                    )
                ) from error
            self._last_trouble = detail
        else:
            self._last_trouble = f"no answer for {SILENCE_SECONDS_MAX:.0f} s"

    def _refuse_to_wait_longer(self) -> None:
        waited = self._loop.time() - self._settled_at
        if self._outstanding and waited > self._patience_s:
            raise OutcomeUnknownError(
                Label(
                    f"{self._family}接收服务 ({self._address}) {waited:.0f}秒内无结果: "
                    f"{self._last_trouble}",
                    f"no outcome from the intake of {self._family} ({self._address}) for "
                    f"{waited:.0f} s: {self._last_trouble}",
                )
            )


class Delivery:
    """The streams of all families, opened when first needed. Use as an async context manager."""

    def __init__(self, endpoints: Endpoints, *, patience_s: float) -> None:
        self._endpoints = endpoints
        self._patience_s = patience_s
        self._streams: dict[str, _FamilyStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def sent_again(self) -> int:
        """How often an event was sent again because its outcome was not known."""
        return sum(stream.sent_again for stream in self._streams.values())

    def submit(
        self,
        family: str,
        sequence: int,
        event: FamilyEvent,
        on_final: Callable[[outcomes.Final], None],
    ) -> None:
        """Send one event; the caller bounds how many are under way."""
        stream = self._streams.get(family)
        if stream is None:
            stream = _FamilyStream(family, self._endpoints.address(family), self._patience_s)
            self._streams[family] = stream
            task = asyncio.create_task(stream.run())
            task.add_done_callback(self._on_stream_end)
            self._tasks.add(task)

        def settled(outcome: outcomes.Final) -> None:
            on_final(outcome)
            self._changed.set()

        stream.submit(Submission(sequence, event, settled))

    def _on_stream_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._changed.set()

    async def changed(self) -> None:
        """Return when another event was settled; raises what ended a stream."""
        self.raise_failure()
        self._changed.clear()
        await self._changed.wait()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what ended a stream, if anything did."""
        if isinstance(self._failure, ImportingError):
            raise self._failure
        if self._failure is not None:
            raise RuntimeError("a stream ended by a defect") from self._failure

    async def finish(self) -> None:
        """Close the streams after everything was settled."""
        for stream in self._streams.values():
            stream.close()
        await asyncio.gather(*self._tasks)
