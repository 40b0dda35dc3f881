"""Take records from the consumer as lists and hand them to the partitions' channels.

A poll runs in the consumer's thread and is thrown away with its epoch: what belongs to an earlier
assignment is read again by whoever owns the partition then.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError

from services.streaming.channels import DeliveryChannel
from services.streaming.chunks import Delivery
from services.streaming.exits import ExitCode, die, die_of
from services.streaming.polling import Poll
from services.streaming.roster import Roster
from services.streaming.settings import EngineSettings

_IDLE_WAIT_S = 0.2
"""Longest wait of a poll in which nothing happens; records and what frees them end it at once."""


_topic_partition = cache(TopicPartition)
"""The same object every time: making all that are owned anew costs more than a poll of them."""


class Polled(Protocol):
    """The consumer, as far as delivery knows it."""

    app: Any

    async def poll(
        self, assignment: object | None, wanted: set[TopicPartition], patience_s: float
    ) -> Poll | None:
        """Return what is fetched of ``wanted``, or None if the assignment is another one by now."""
        ...


class Pump:
    """Moves records from the consumer to the channels, for as long as the worker lives."""

    def __init__(
        self, roster: Roster, channels: dict[int, DeliveryChannel], settings: EngineSettings
    ) -> None:
        self._roster = roster
        self._channels = channels
        self._settings = settings

    async def run(self, consumer: Polled, stopped: Callable[[], bool]) -> None:
        """Poll and hand over until ``stopped``. Ends the process on any error of its own."""
        try:
            while not stopped():
                wanted = self._wanted()
                if not wanted:
                    await asyncio.sleep(0.01)
                    continue
                epoch = self._roster.epoch
                poll = await consumer.poll(self._roster.assignment, wanted, _IDLE_WAIT_S)
                if poll is not None and epoch == self._roster.epoch:
                    await self._hand_over(epoch, poll)
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not consumer.app.should_stop:
                die(ExitCode.DELIVERY_FAILED, "the consumer stopped without being asked to")
            raise
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            die_of(error, ExitCode.DELIVERY_FAILED, "delivery")

    def _wanted(self) -> set[TopicPartition]:
        """Return what may be polled: open partitions' topics whose backlog has room.

        The memory is shared out evenly, not served first come first: the merge may need the topic
        that came last before it can release anything.
        """
        partitions = self._roster.open_partitions()
        shares = sum(len(partition.backlog) for partition in partitions.values())
        records, held = self._settings.backlog_records, self._settings.backlog_bytes
        return {
            _topic_partition(topic, number)
            for number, partition in partitions.items()
            for topic, backlog in partition.backlog.items()
            if backlog.records < records and backlog.held * shares < held
        }

    async def _hand_over(self, epoch: int, poll: Poll) -> None:
        for number in poll.chunks.keys() | poll.ends.keys():
            partition = self._roster.partitions[number]
            chunks, ends = poll.chunks.get(number, []), poll.ends.get(number, [])
            if not chunks and not partition.health.waiting_records:
                for end in ends:
                    partition.health.ends[end.topic] = end.stable_end
                continue
            for chunk in chunks:
                partition.add_backlog(chunk)
            await self._channels[number].hand_over(Delivery(epoch, chunks, ends))
