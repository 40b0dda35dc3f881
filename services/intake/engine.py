"""The intake engine (接收引擎): one event in, one lasting answer out.

Checked events that the index knows are answered from it. The others are published, at most once at
a time for each source version in this process; when the broker has acknowledged them and this
instance has read the log past them, the index names the first record that holds each version, and
that is the receipt: racing instances see one order of the log, so they answer alike, for ever.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from market_supervision.intake.v1.intake_pb2 import Receipt

from services.contracts.families import Family, FamilyEvent
from services.intake import refusals
from services.intake.metrics import IntakeFigures
from services.intake.pipeline import Pipeline, Prepared
from services.intake.placement import Entry, SourceKey
from services.intake.publisher import Acknowledged, NotSent, Publisher, PublishResult
from services.runtime.errors import ServiceError
from services.runtime.logging import get_logger

log = get_logger(__name__)

EVENTS_PER_TURN: Final = 50
"""Events checked before other tasks of the event loop get a turn (about 3 ms)."""

Outcome = Receipt | ServiceError


class IndexHoleError(Exception):
    """A record that was acknowledged and read is not in the index: a defect (索引缺失)."""


class Index(Protocol):
    """What the engine asks of the intake index."""

    def find(self, keys: Sequence[SourceKey]) -> list[Entry | None]:
        """Return for each key the first record that holds it, or None."""
        ...


class LogReader(Protocol):
    """What the engine asks of the tail that feeds the index."""

    async def passed(self, partition: int, offset: int) -> None:
        """Return once the record at ``offset`` is in the index."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bounds and times of an intake."""

    events_under_way_max: int = 20_000
    """Events handed to the broker and not settled; further ones are answered BUFFER_FULL."""
    bytes_under_way_max: int = 64 << 20
    """Their size in bytes."""
    answer_seconds_max: float = 10.0
    """Longest wait for an outcome; after it the answer is OUTCOME_UNKNOWN."""


class _Flight:
    """Events published together, until the outcome of each is known."""

    __slots__ = ("done", "hashes", "outcomes")

    def __init__(self, done: "asyncio.Future[None]") -> None:
        self.hashes: dict[SourceKey, bytes] = {}
        self.outcomes: dict[SourceKey, Outcome] = {}
        self.done = done


_Open = tuple[int, Prepared]


class IntakeEngine:
    """Takes events of one family. One event loop."""

    def __init__(
        self,
        family: Family,
        topic: str,
        *,
        pipeline: Pipeline,
        index: Index,
        reader: LogReader,
        publisher: Publisher,
        now_ns: Callable[[], int],
        settings: EngineSettings,
    ) -> None:
        self._family = family
        self._topic = topic
        self._pipeline = pipeline
        self._index = index
        self._reader = reader
        self._publisher = publisher
        self._now_ns = now_ns
        self._settings = settings
        self._flights: dict[SourceKey, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.figures = IntakeFigures()
        self._defect: IndexHoleError | None = None
        self._defect_found = asyncio.Event()
        self.is_ready = False
        """Whether the index holds all that was on the log at the start."""

    def is_under_way(self, key: SourceKey) -> bool:
        """Return whether this instance is publishing a source version right now."""
        return key in self._flights

    async def submit(self, events: Sequence[FamilyEvent], client: str) -> list[Outcome]:
        """Return the outcome of each event, in order: its receipt, or the error to answer.

        Raises:
            NotReadyError: the index is not complete yet; nothing was done.
        """
        if not self.is_ready:
            raise refusals.not_ready()
        outcomes: list[Outcome | None] = [None] * len(events)
        unsettled: list[_Open] = []
        for number, event in enumerate(events):
            if number and number % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
            prepared = self._pipeline.prepare(event, now_ns=self._now_ns(), client=client)
            if isinstance(prepared, Prepared):
                unsettled.append((number, prepared))
            else:
                outcomes[number] = refusals.refusal(self._family.name, prepared)
        deadline = asyncio.get_running_loop().time() + self._settings.answer_seconds_max
        while unsettled:
            unsettled = await self._round(unsettled, outcomes, deadline)
        settled = [outcome for outcome in outcomes if outcome is not None]
        self.figures.settled(settled)
        return settled

    async def _round(
        self, unsettled: Sequence[_Open], outcomes: list[Outcome | None], deadline: float
    ) -> list[_Open]:
        """Settle what can be; return the events that waited for another content of theirs."""
        waiting = self._start(unsettled, outcomes)
        again: list[_Open] = []
        for number, prepared, flight in waiting:
            if not await _is_done(flight, deadline):
                outcomes[number] = refusals.outcome_unknown("no answer within the time limit")
            elif flight.hashes[prepared.key] == prepared.payload_hash:
                outcomes[number] = flight.outcomes[prepared.key]
            else:
                again.append((number, prepared))
        return again

    def _start(
        self, unsettled: Sequence[_Open], outcomes: list[Outcome | None]
    ) -> list[tuple[int, Prepared, _Flight]]:
        """Answer what the index knows, publish what nobody does; no await between the two."""
        flight = _Flight(asyncio.get_running_loop().create_future())
        waiting: list[tuple[int, Prepared, _Flight]] = []
        mine: list[Prepared] = []
        entries = self._index.find([prepared.key for _, prepared in unsettled])
        for (number, prepared), entry in zip(unsettled, entries, strict=True):
            if entry is not None:
                outcomes[number] = self._answer(prepared, entry)
                continue
            under_way = self._flights.get(prepared.key)
            if under_way is None:
                if not self._admit(prepared):
                    outcomes[number] = refusals.buffer_full()
                    continue
                under_way = self._flights[prepared.key] = flight
                flight.hashes[prepared.key] = prepared.payload_hash
                mine.append(prepared)
            waiting.append((number, prepared, under_way))
        if mine:
            # A task of its own: a caller that goes away takes nothing back.
            task = asyncio.create_task(self._fly(flight, mine))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return waiting

    def _admit(self, prepared: Prepared) -> bool:
        size = prepared.record.size_bytes()
        settings, figures = self._settings, self.figures
        if (
            figures.events_under_way >= settings.events_under_way_max
            or figures.bytes_under_way + size > settings.bytes_under_way_max
        ):
            return False
        figures.events_under_way += 1
        figures.bytes_under_way += size
        return True

    async def _fly(self, flight: _Flight, mine: Sequence[Prepared]) -> None:
        try:
            began = time.monotonic()
            results = await self._publisher.publish([prepared.record for prepared in mine])
            self.figures.publish_seconds.observe(time.monotonic() - began)
            self.figures.published += len(mine)
            await self._read_past(results)
            entries = self._index.find([prepared.key for prepared in mine])
            for prepared, result, entry in zip(mine, results, entries, strict=True):
                flight.outcomes[prepared.key] = self._outcome(prepared, result, entry)
        except IndexHoleError as error:
            self._defect = error
            self._defect_found.set()
        except Exception:
            log.exception("publishing_failed", family=self._family.name, events=len(mine))
        finally:
            for prepared in mine:
                unknown = refusals.outcome_unknown("the intake failed while publishing")
                flight.outcomes.setdefault(prepared.key, unknown)
                del self._flights[prepared.key]
                self.figures.events_under_way -= 1
                self.figures.bytes_under_way -= prepared.record.size_bytes()
            flight.done.set_result(None)

    async def _read_past(self, results: Sequence[PublishResult]) -> None:
        last: dict[int, int] = {}
        for result in results:
            if isinstance(result, Acknowledged):
                last[result.partition] = max(result.offset, last.get(result.partition, -1))
        for partition, offset in last.items():
            await self._reader.passed(partition, offset)

    def _outcome(self, prepared: Prepared, result: PublishResult, entry: Entry | None) -> Outcome:
        if entry is not None:
            # Whatever became of this record: the version is on the log.
            return self._answer(prepared, entry)
        if isinstance(result, NotSent):
            return refusals.not_sent(result.detail)
        if isinstance(result, Acknowledged):
            place = f"{result.partition}/{result.offset}"
            raise IndexHoleError(f"acknowledged at {place}, read past it, not in the index")
        return refusals.outcome_unknown(result.detail)

    def _answer(self, prepared: Prepared, entry: Entry) -> Outcome:
        receipt = self._receipt(prepared.event_id, entry)
        if entry.payload_hash == prepared.payload_hash:
            return receipt
        return refusals.conflict(prepared.key, prepared.payload_hash, entry, receipt)

    def _receipt(self, event_id: str, entry: Entry) -> Receipt:
        return Receipt(
            event_id=event_id,
            topic=self._topic,
            partition=entry.partition,
            offset=entry.offset,
            payload_hash=entry.payload_hash.hex(),
            entity_key=entry.entity_key,
        )

    async def watch(self) -> None:
        """Run until cancelled; raises IndexHoleError when the index proves to lack a record.

        The process must then end: receipts answered from such an index could not be trusted.
        """
        await self._defect_found.wait()
        if self._defect is not None:
            raise self._defect

    async def drain(self, timeout_s: float) -> None:
        """Wait until nothing is under way, at most ``timeout_s``."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)


async def _is_done(flight: _Flight, deadline: float) -> bool:
    if not flight.done.done():
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([flight.done], timeout=max(left, 0))
    return flight.done.done()
