"""The way from delivery to a partition's agent: a channel that Faust's flow control leaves alone.

Replaces methods of Faust; guards.py watches them.
"""

import asyncio
from typing import Any

from faust.channels import Channel
from mode.utils.queues import ThrowableQueue

from services.streaming.chunks import Delivery


class DeliveryQueue(ThrowableQueue):  # type: ignore[type-arg]
    """A channel's queue that Faust's flow control can neither clear nor suspend.

    Faust clears its queues at every rebalance and cancels a blocked put, which crashes the fetcher.
    Deliveries carry an epoch instead, and those of an old one are dropped by the partition. The
    queue is bounded by the backlog rule: a topic-partition with too much undigested is not polled.
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
