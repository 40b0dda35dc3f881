"""Take records from the consumer as lists and hand them to the partitions' channels.

Faust's own delivery is replaced: it costs three loop turns and four tasks a record, acknowledges
records that failed, and its poll can span a rebalance and hand the records of the new assignment
to a caller of the old one. Here a poll runs in the consumer's thread, never awaits between the
check of the assignment and taking the records, and is thrown away with its epoch.
"""

# ruff: noqa: SLF001  Replacing parts of Faust means reaching into it; guards.py watches them.

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError
from faust.channels import Channel
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.queues import ThrowableQueue

from services.runtime.logging import get_logger
from services.streaming.exits import ExitCode, die, die_of
from services.streaming.interface import SourceRecord
from services.streaming.merge import Chunk, TopicEnd
from services.streaming.partition import Delivery, Partition
from services.streaming.settings import EngineSettings

log = get_logger(__name__)

_IDLE_WAIT_S = 0.2
_HELD_WAIT_S = 0.005
_COMMIT_TIMEOUT_S = 2.0


class DeliveryQueue(ThrowableQueue):  # type: ignore[type-arg]
    """A channel's queue that Faust's flow control can neither clear nor suspend.

    Faust clears its queues at every rebalance and cancels a blocked put, which crashes the fetcher.
    Deliveries carry an epoch instead, and those of an old one are dropped by the partition. The
    queue is bounded by the backlog rule: a topic-partition with too many undigested records is not
    polled.
    """

    def clear(self) -> None:
        """Keep everything."""

    async def put(self, value: Any) -> None:
        """Put at once."""
        await asyncio.Queue.put(self, value)


class DeliveryChannel(Channel):  # type: ignore[type-arg]
    """The channel of one partition number: carries Delivery objects to its agent."""

    @property
    def queue(self) -> ThrowableQueue[Any]:
        """The queue, made when the agent begins to iterate."""
        if self._queue is None:
            self._queue = DeliveryQueue(maxsize=0, flow_control=self.app.flow_control)
        return self._queue

    async def hand_over(self, delivery: Delivery) -> None:
        """Put a delivery into the agent's queue."""
        for subscriber in self._subscribers:
            await subscriber.queue.put(delivery)


@dataclass(slots=True)
class Roster:
    """What this worker owns at the moment, shared by delivery and rebalance.

    ``assignment`` is the consumer's assignment object itself: as long as it is the same object, the
    fetch positions are those this engine has set. ``epoch`` grows with every change.
    """

    epoch: int = 0
    assignment: object | None = None
    partitions: dict[int, Partition] = field(default_factory=dict)

    def open_partitions(self) -> dict[int, Partition]:
        """Return the partitions that may be polled."""
        return {number: p for number, p in self.partitions.items() if p.is_open}


@dataclass(frozen=True, slots=True)
class _Poll:
    chunks: dict[int, list[Chunk]]
    ends: dict[int, list[TopicEnd]]


class Pump:
    """Moves records from the consumer to the channels, for as long as the worker lives."""

    def __init__(
        self, roster: Roster, channels: dict[int, DeliveryChannel], settings: EngineSettings
    ) -> None:
        self._roster = roster
        self._channels = channels
        self._settings = settings

    async def run(self, consumer: "EngineConsumer", stopped: Callable[[], bool]) -> None:
        """Poll and hand over until ``stopped``. Ends the process on any error of its own."""
        try:
            while not stopped():
                wanted = self._wanted()
                if not wanted:
                    await asyncio.sleep(0.01)
                    continue
                epoch = self._roster.epoch
                poll = await consumer.poll(self._roster.assignment, wanted, self._patience())
                if poll is not None and epoch == self._roster.epoch:
                    await self._hand_over(epoch, poll)
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not consumer.app.should_stop:
                die(ExitCode.DELIVERY_FAILED, "the consumer stopped without being asked to")
            raise
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            die_of(error, ExitCode.DELIVERY_FAILED, "delivery")

    def _wanted(self) -> set[TopicPartition]:
        """Return what may be polled: open partitions' topics whose backlog has room."""
        limit = self._settings.backlog_records
        return {
            TopicPartition(topic, number)
            for number, partition in self._roster.open_partitions().items()
            for topic, waiting in partition.backlog.items()
            if waiting < limit
        }

    def _patience(self) -> float:
        """Wait shortly while records are held: what frees them may be an answer without data."""
        held = any(p.health.waiting_records for p in self._roster.partitions.values())
        return _HELD_WAIT_S if held else _IDLE_WAIT_S

    async def _hand_over(self, epoch: int, poll: _Poll) -> None:
        for number, ends in poll.ends.items():
            partition = self._roster.partitions[number]
            chunks = poll.chunks.get(number, [])
            if not chunks and not partition.health.waiting_records:
                for end in ends:
                    partition.health.ends[end.topic] = end.stable_end
                continue
            for chunk in chunks:
                partition.add_backlog(chunk)
            await self._channels[number].hand_over(Delivery(epoch, chunks, ends))


class EngineConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer that reads committed records, with short polls."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        assert isinstance(transport, EngineTransport)
        consumer = super()._create_worker_consumer(transport)
        # Tied to Faust's own exactly-once, and hard-coded, in the driver; read when it starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = transport.settings.fetch_wait_ms
        return consumer


class EngineConsumer(driver.Consumer):
    """Faust's consumer, with the engine's delivery instead of its own."""

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
        return self.kafka._subscription.subscription.assignment

    async def poll(
        self, assignment: object | None, wanted: set[TopicPartition], patience_s: float
    ) -> _Poll | None:
        """Return what is fetched of ``wanted``, or None if the assignment is another one by now."""
        poll: _Poll | None = await self.in_thread(_poll, self.kafka, assignment, wanted, patience_s)
        return poll

    async def seek_to(self, assignment: object, positions: dict[TopicPartition, int]) -> bool:
        """Seek, if the assignment is still the same one; tell whether it is."""
        done: bool = await self.in_thread(_seek, self.kafka, assignment, positions)
        return done

    async def commit_display(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit group offsets, for lag displays only; failures are logged."""
        await self.in_thread(_commit_display, self.kafka, offsets)


class EngineTransport(driver.Transport):
    """Faust's transport with the engine's consumer."""

    Consumer = EngineConsumer
    pump: Pump
    settings: EngineSettings


def _is_current(kafka: AIOKafkaConsumer, assignment: object | None) -> bool:
    subscription = kafka._subscription.subscription
    return bool(
        subscription is not None
        and not kafka._subscription.reassignment_in_progress
        and subscription.assignment is assignment
    )


async def _poll(
    kafka: AIOKafkaConsumer,
    assignment: Any,
    wanted: set[TopicPartition],
    patience_s: float,
) -> _Poll | None:
    """Take what is fetched; if that is nothing, wait once, outside of the taking.

    aiokafka's ``fetched_records`` awaits only while a reassignment is in progress (checked just
    before, in the same thread) or when it is given a timeout (it is given none).
    """
    fetcher = kafka._fetcher
    for last in (False, True):
        if not _is_current(kafka, assignment):
            return None
        states = {tp: assignment.state_value(tp) for tp in wanted}
        before = {tp: s.position for tp, s in states.items() if s.has_valid_position}
        with kafka._subscription.fetch_context():
            fetched = await fetcher.fetched_records(
                wanted, timeout=0, max_records=kafka._max_poll_records
            )
        if fetched or last or _moved(states, before):
            return _collect(states, before, fetched)
        waiter = fetcher._create_fetch_waiter()
        await asyncio.wait([waiter], timeout=patience_s)
        if not waiter.done():
            waiter.cancel()
    return None


def _moved(states: dict[TopicPartition, Any], before: dict[TopicPartition, int]) -> bool:
    return any(states[tp].position != position for tp, position in before.items())


def _collect(
    states: dict[TopicPartition, Any],
    before: dict[TopicPartition, int],
    fetched: dict[TopicPartition, list[Any]],
) -> _Poll:
    """Turn what was taken into chunks between fetch positions, and the answers about the ends."""
    poll = _Poll({}, {})
    for tp, start in before.items():
        state = states[tp]
        answered_ms = state.timestamp or 0
        records = fetched.get(tp, ())
        if records or state.position != start:
            chunk = Chunk(
                tp.topic,
                start,
                state.position,
                answered_ms,
                [
                    SourceRecord(
                        r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers
                    )
                    for r in records
                ],
            )
            poll.chunks.setdefault(tp.partition, []).append(chunk)
        if state.lso is not None:
            end = TopicEnd(tp.topic, state.position, state.lso, answered_ms)
            poll.ends.setdefault(tp.partition, []).append(end)
    return poll


async def _seek(
    kafka: AIOKafkaConsumer, assignment: object, positions: dict[TopicPartition, int]
) -> bool:
    if not _is_current(kafka, assignment):
        return False
    for tp, offset in positions.items():
        kafka.seek(tp, offset)
    return True


async def _commit_display(kafka: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    mine = kafka.assignment()
    try:
        commit = kafka.commit({tp: offset for tp, offset in offsets.items() if tp in mine})
        await asyncio.wait_for(commit, _COMMIT_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  a display must not end the work
        log.info("group_offsets_not_committed", error=repr(error))
