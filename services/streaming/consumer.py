"""Faust's consumer and transport, with the engine's delivery in place of Faust's own.

Faust's own costs three loop turns and four tasks a record, acknowledges records that failed, and
its poll can span a rebalance. Replaces methods of Faust; guards.py watches them.
"""

# ruff: noqa: SLF001

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.streaming import polling
from services.streaming.delivery import Pump
from services.streaming.exits import ExitCode, die
from services.streaming.fetch_answers import FetchAnswers
from services.streaming.settings import EngineSettings

_FAUST_LOGGER = logging.getLogger("faust.consumer")


class EngineConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer that reads committed records, with short polls."""

    answers: FetchAnswers
    # Else what a service of Faust tells of itself would count as this project's own words.
    logger = _FAUST_LOGGER

    async def on_start(self) -> None:
        """Watch the consumer's fetches from its first one on, and its place in the group."""
        await super().on_start()
        transport = self.transport
        assert isinstance(transport, EngineTransport)
        consumer = self._ensure_consumer()
        self.answers = FetchAnswers(consumer._fetcher, transport.settings)
        consumer._coordinator._coordination_task.add_done_callback(self._coordination_ended)
        consumer._fetcher._fetch_task.add_done_callback(self._fetching_ended)

    def _coordination_ended(self, task: asyncio.Task[None]) -> None:
        """End the process when the task that keeps this worker in the group has failed.

        aiokafka only logs that, and the worker would wait for partitions for ever: for instance
        where no broker was registered in the moment when it looked for the group's coordinator.
        """
        if not task.cancelled() and (error := task.exception()) is not None:
            die(ExitCode.DELIVERY_FAILED, f"the coordination of the group failed: {error!r}", error)

    def _fetching_ended(self, task: asyncio.Task[None]) -> None:
        """End the process when the task that sends fetch requests ended without being closed.

        Nobody in aiokafka looks at it while a consumer polls: the worker would find every topic at
        its last known end for ever, and look as if there were nothing to do.
        """
        if self._ensure_consumer()._fetcher._closed or self.app.should_stop:
            return
        error = None if task.cancelled() else task.exception()
        die(ExitCode.DELIVERY_FAILED, f"fetching has ended: {error!r}", error)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        assert isinstance(transport, EngineTransport)
        consumer = super()._create_worker_consumer(transport)
        # Tied to Faust's own exactly-once, and hard-coded, in the driver; read when it starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = transport.settings.fetch_wait_ms
        consumer._fetch_max_bytes = transport.settings.fetch_bytes
        return consumer


class EngineConsumer(driver.Consumer):
    """Faust's consumer, with the engine's delivery instead of its own."""

    _thread: EngineConsumerThread
    logger = _FAUST_LOGGER

    def _new_consumer_thread(self) -> EngineConsumerThread:
        return EngineConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def kafka(self) -> AIOKafkaConsumer:
        """The consumer underneath. Only its thread may call it."""
        return self._thread._ensure_consumer()

    async def perform_seek(self) -> None:
        """Leave the positions alone: recovery seeks, to what the state has applied."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave liveness to the engine's own watchdog: no record comes Faust's way."""

    async def _drain_messages(self, fetcher: Any) -> None:
        transport = self.transport
        assert isinstance(transport, EngineTransport)
        await transport.pump.run(
            self, lambda: bool(self._stopped.is_set() or fetcher._stopped.is_set())
        )

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Await ``function(*args)``, a coroutine function, in the consumer's thread."""
        return await self._thread.call_thread(function, *args)

    def current_assignment(self) -> object:
        """Return the assignment object the positions belong to."""
        return polling.current_assignment(self.kafka)

    async def poll(
        self, assignment: object | None, wanted: set[TopicPartition], patience_s: float
    ) -> polling.Poll | None:
        """Return what is fetched of ``wanted``, or None if the assignment is another one by now."""
        found: polling.Poll | None = await self.in_thread(
            polling.poll, self.kafka, self._thread.answers, assignment, wanted, patience_s
        )
        return found

    async def hold(self, assignment: object) -> bool:
        """Fetch nothing before `seek_to`; see `polling.hold`."""
        done: bool = await self.in_thread(polling.hold, self.kafka, assignment)
        return done

    async def seek_to(self, assignment: object, positions: dict[TopicPartition, int]) -> bool:
        """Let these be fetched from here, if the assignment is still the same one; tell whether."""
        done: bool = await self.in_thread(
            polling.seek, self.kafka, self._thread.answers, assignment, positions
        )
        return done

    def answered_at(self, topic_partitions: Iterable[TopicPartition]) -> float:
        """Return since when nothing is heard of the one that was heard of least lately.

        In monotonic seconds, from any thread; see `FetchAnswers.answered_ns`.
        """
        return self._thread.answers.answered_ns(topic_partitions) / 1e9

    async def commit_display(self, offsets: dict[TopicPartition, int]) -> Exception | None:
        """Commit group offsets, for lag displays only; return why that was not possible."""
        problem: Exception | None = await self.in_thread(
            polling.commit_display, self.kafka, offsets
        )
        return problem


class EngineTransport(driver.Transport):
    """Faust's transport with the engine's consumer."""

    Consumer = EngineConsumer
    pump: Pump
    settings: EngineSettings
