"""A transaction that ends as under a coordinator that finds no leader: without a marker."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from services.streaming.meta import META_KEY
from services.streaming.unit_of_work import PartitionProducer

Committing = Callable[[PartitionProducer, Any], Coroutine[Any, Any, dict[str, int]]]


class Unmarked:
    """Takes the place of a producer's commit: the first one with an alert, over all lives.

    The broker must not verify transactions: nobody tells the coordinator which topics are in this
    one. ``partial``: its META is not written. ``dies`` says when the process ends, once: ``at
    once``; ``stored``: the local store has the unit; ``in the next``: the next transaction is
    written and not committed; ``after the next``: it is; ``deciding``: as ``stored``, and the next
    process when it has begun to decide; or never, if empty.
    """

    def __init__(
        self, partition: int, alerts_topic: str, mark: Path, dies: str, *, partial: bool
    ) -> None:
        """``mark``: the file that tells later lives that it was left, and `decide` began."""
        self._partition = partition
        self._alerts_topic = alerts_topic
        self._mark = mark
        self._dies = dies
        self._partial = partial
        self._before = mark.exists()
        self._left = False
        self._commit, self._decide = PartitionProducer.commit, PartitionProducer._decide

    @property
    def commit(self) -> Committing:
        """What a producer calls instead."""

        async def commit(producer: PartitionProducer, topics: Any) -> dict[str, int]:
            if self._before or producer.partition != self._partition:
                return await self._commit(producer, topics)
            if self._left:
                return await self._following(producer, topics)
            if any(topic == self._alerts_topic for topic, _ in topics):
                return await self._leaving(producer, topics)
            return await self._commit(producer, topics)

        return commit

    @property
    def decide(self) -> Callable[..., Coroutine[Any, Any, None]]:
        """What a producer calls instead."""

        async def decide(producer: PartitionProducer, topics: Any, *, commit: bool) -> None:
            if self._dies == "deciding" and self._mark.read_text() == "":
                producer._producer.commit_transaction = self._ended_deciding
            await self._decide(producer, topics, commit=commit)

        return decide

    async def _ended_deciding(self) -> None:
        await asyncio.sleep(0.5)  # the coordinator is told of the partitions meanwhile
        self._mark.write_text("deciding")
        _end()

    async def _leaving(self, producer: PartitionProducer, topics: Any) -> dict[str, int]:
        kafka = producer._producer
        manager = kafka._txn_manager
        begin, finish = kafka.begin_transaction, kafka.commit_transaction

        async def begun() -> None:
            await begin()
            manager._txn_partitions |= {TopicPartition(t, self._partition) for t, _ in topics}

        async def ended() -> None:
            self._mark.touch()
            self._left = True
            if self._dies == "at once":
                _end()
            if self._dies in {"stored", "deciding"}:
                asyncio.get_running_loop().call_later(0.5, _end)
            manager.committing_transaction()
            manager.complete_transaction()

        kafka.begin_transaction, kafka.commit_transaction = begun, ended
        if self._partial:
            topics = [(t, [r for r in records if r[0] != META_KEY]) for t, records in topics]
        try:
            return await self._commit(producer, topics)
        finally:
            kafka.begin_transaction, kafka.commit_transaction = begin, finish

    async def _following(self, producer: PartitionProducer, topics: Any) -> dict[str, int]:
        if self._dies in {"stored", "deciding"}:
            await asyncio.sleep(60)  # the end comes first
        if self._dies == "in the next":
            producer._producer.commit_transaction = _ended
        offsets = await self._commit(producer, topics)
        if self._dies == "after the next":
            _end()
        return offsets


async def _ended() -> None:
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
