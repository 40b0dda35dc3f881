"""Take partitions over and give them back: the epoch, the gate, fencing, recovery.

Revocation is awaited by the group before this member rejoins (heartbeats go on in the consumer's
thread meanwhile): close the epoch, wait for units in flight, then return. At assignment nothing
slow may happen, because no heartbeat runs during that callback, so recovery is a task of its own:
open stores, fence every partition, read the changelog to its end, check the sources, seek, open.
Partitions whose local copies lack next to nothing are opened before the others are read: what this
worker owned before does not wait for what it takes over.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from services.runtime.logging import get_logger
from services.streaming.consumer import EngineConsumer
from services.streaming.exits import EngineError, ExitCode, die, die_of
from services.streaming.group import GroupView, brokers_answer, view_group
from services.streaming.health import EngineHealth
from services.streaming.meta import NewerMetaError
from services.streaming.partition import Partition
from services.streaming.partition_factory import PartitionFactory
from services.streaming.roster import Roster
from services.streaming.undecided import Leftovers

log = get_logger(__name__)

_UNASSIGNED_GRACE_S = 3.0
_SILENCE_S = 5.0
"""Brokers that told nothing of a partition for so long are asked whether they are there."""


class Rebalance:
    """Owns the partitions' lives in this worker; listens to Faust's rebalance signals."""

    def __init__(
        self,
        app: faust.App,
        factory: PartitionFactory,
        partition_count: int,
        roster: Roster,
        health: EngineHealth,
    ) -> None:
        self._app = app
        self._factory = factory
        self._settings = factory.settings
        self._partition_count = partition_count
        self._roster = roster
        self._health = health
        self._recovery: asyncio.Task[None] | None = None
        self._leftovers = Leftovers(factory.bootstrap, factory.topics)
        self._group_silent_since: float | None = None

    def connect(self) -> None:
        """Listen to the app's signals."""
        handlers: tuple[tuple[Any, Callable[..., Coroutine[Any, Any, None]]], ...] = (
            (self._app.on_partitions_revoked, self._on_revoked),
            (self._app.on_partitions_assigned, self._on_assigned),
            (self._app.on_before_shutdown, self._on_shutdown),
        )
        for signal, handler in handlers:
            signal.connect(handler)

    @property
    def _consumer(self) -> EngineConsumer:
        consumer: Any = self._app.consumer
        assert isinstance(consumer, EngineConsumer)
        return consumer

    async def commit_display(self) -> None:
        """Commit the applied offsets to the group, so that standard tools show the lag."""
        offsets = self._positions(self._roster.open_partitions())
        if offsets:
            self._tell_group(await self._consumer.commit_display(offsets))

    def _tell_group(self, problem: Exception | None) -> None:
        """Say once that the group does not answer, and once that it does again.

        These commits are for display; but nothing else asks the broker anything twice a second.
        """
        now = asyncio.get_running_loop().time()
        if problem is not None and self._group_silent_since is None:
            self._group_silent_since = now
            log.warning("group_not_answering", error=repr(problem))
        elif problem is None and self._group_silent_since is not None:
            log.info("group_answers_again", after_s=round(now - self._group_silent_since, 1))
            self._group_silent_since = None

    async def decide_leftovers(self) -> None:
        """Look whether a broker left undecided what this worker has committed, and decide it."""
        partitions = self._roster.open_partitions()
        if not partitions:
            return
        try:
            await self._leftovers.decide(partitions)
        except KafkaError:
            return  # the broker is away, which others say; it is looked at again
        except EngineError as error:
            die_of(error, error.code, "deciding a transaction")

    def note_answers(self) -> None:
        """Show how long the brokers have told nothing of what is open."""
        partitions = self._roster.open_partitions()
        mine = [TopicPartition(t, n) for n, p in partitions.items() for t in p.backlog]
        self._health.answered_at = self._consumer.answered_at(mine) if mine else None

    async def question_silence(self) -> None:
        """Tell the watchdog whether the brokers are away, where that could be why nothing moves."""
        health = self._health
        silent = health.waits_for_group or health.recovering or health.answer_age_s > _SILENCE_S
        asked = silent and not self._app.should_stop
        health.brokers_away = asked and not await brokers_answer(self._factory.bootstrap)

    async def _on_revoked(self, _app: Any, revoked: Iterable[TP], **_: Any) -> None:
        """Return only when no unit is in flight; end the process if that takes too long."""
        started = asyncio.get_running_loop().time()
        worked = list(self._roster.open_partitions())
        await self._close_epoch(self._settings.unit_timeout_s)
        offsets = self._positions(worked)
        if offsets:
            await self._consumer.commit_display(offsets)
        waited = asyncio.get_running_loop().time() - started
        numbers = sorted({tp.partition for tp in revoked})
        if numbers:
            log.info("partitions_revoked", partitions=numbers, waited_s=round(waited, 3))

    async def _on_assigned(self, _app: Any, assigned: Iterable[TP], **_: Any) -> None:
        """Check the assignment and start recovering; must return at once."""
        numbers = self._copartitioned(assigned)
        self._roster.epoch += 1
        self._roster.assignment = self._consumer.current_assignment()
        self._health.rebalances += 1
        self._health.generation = self._app.consumer_generation_id
        generation = self._health.generation
        log.info("partitions_assigned", partitions=sorted(numbers), generation=generation)
        work = self._recover(numbers) if numbers else self._question_emptiness()
        self._recovery = asyncio.create_task(work)

    async def _on_shutdown(self, _app: Any, **_: Any) -> None:
        """Stop cleanly: the last units are committed, producers stopped, stores closed."""
        await self._close_epoch(self._settings.stop_timeout_s)
        await self._stop_producers()
        self._factory.close()
        log.info("worker_stopped")

    async def _close_epoch(self, timeout_s: float) -> None:
        """Let no unit begin, end a recovery under way, and wait for the units in flight."""
        self._health.assigned = False
        self._roster.epoch += 1
        self._roster.assignment = None
        for partition in self._roster.partitions.values():
            partition.close()
        if self._recovery is not None and not self._recovery.done():
            self._recovery.cancel()
            _, left = await asyncio.wait([self._recovery], timeout=timeout_s)
            if left:  # in the middle of deciding a transaction; dying there is safe
                die(ExitCode.UNIT_TIMEOUT, f"a recovery did not end within {timeout_s} s")
        try:
            await asyncio.wait_for(self._quiet(), timeout_s)
        except TimeoutError:
            die(ExitCode.UNIT_TIMEOUT, f"a unit in flight did not end within {timeout_s} s")

    async def _quiet(self) -> None:
        for partition in self._roster.partitions.values():
            async with partition.gate:
                pass

    def _positions(self, numbers: Iterable[int]) -> dict[TopicPartition, int]:
        return {
            TopicPartition(topic, number): offset
            for number in numbers
            for topic, offset in self._roster.partitions[number].positions().items()
        }

    def _copartitioned(self, assigned: Iterable[TP]) -> set[int]:
        """Return the partition numbers, the same for every source topic; else end the process."""
        sources = self._factory.topics.sources
        numbers: dict[str, set[int]] = {topic: set() for topic in sources}
        for tp in assigned:
            if tp.topic not in numbers:
                die(ExitCode.NOT_COPARTITIONED, f"assigned {tp}, which is no source topic")
            numbers[tp.topic].add(tp.partition)
        first = numbers[sources[0]]
        if any(other != first for other in numbers.values()):
            shown = {topic: sorted(n) for topic, n in numbers.items()}
            die(ExitCode.NOT_COPARTITIONED, f"the source topics' partitions differ: {shown}")
        return first

    async def _recover(self, numbers: set[int]) -> None:
        """Own ``numbers``: fence, restore, check, seek, open. Ends the process if that fails."""
        try:
            loop = asyncio.get_running_loop()
            started = loop.time()
            self._health.recovering = True
            self._health.fenced = self._health.restored_records = 0
            await self._stop_producers()
            if not await self._consumer.hold(self._roster.assignment):
                return self._say_changed(numbers)
            partitions = await self._factory.fenced(numbers, self._roster.epoch, self._count_fence)
            self._roster.partitions = partitions
            self._health.own({number: p.health for number, p in partitions.items()})
            self._health.takeovers += len(partitions)
            fenced = loop.time()
            log.info(
                "partitions_fenced", partitions=sorted(numbers), took_s=round(fenced - started, 3)
            )
            opened: dict[int, Partition] = {}
            turns = self._factory.restored_in_turns(partitions, self._count_restored)
            async with aclosing(turns):
                async for turn in turns:
                    opened |= turn
                    left = sorted(partitions.keys() - opened.keys())
                    if not left:
                        log.info(
                            "partitions_restored",
                            partitions=sorted(numbers),
                            records=self._health.restored_records,
                            took_s=round(loop.time() - fenced, 3),
                        )
                    if not await self._open(turn):
                        return self._say_changed(numbers)
                    # No await from here to where all are shown as open: a revocation would be shown
                    # as undone.
                    if left:
                        log.info("partitions_go_on", partitions=sorted(turn), reading=left)
                    else:
                        self._health.assigned = True
                        took_s = round(loop.time() - started, 3)
                        log.info("partitions_open", partitions=sorted(numbers), took_s=took_s)
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            newer = isinstance(error, NewerMetaError)
            otherwise = ExitCode.STATE_VERSION if newer else ExitCode.RECOVERY_FAILED
            die_of(error, otherwise, "recovery")
        finally:
            self._health.recovering = False

    @staticmethod
    def _say_changed(numbers: set[int]) -> None:
        log.info("assignment_changed_during_recovery", partitions=sorted(numbers))

    async def _open(self, partitions: Mapping[int, Partition]) -> bool:
        """Let restored partitions work from where they stand; False if they are revoked already."""
        positions = {
            TopicPartition(topic, number): offset
            for number, partition in partitions.items()
            for topic, offset in partition.restored().items()
        }
        if not await self._consumer.seek_to(self._roster.assignment, positions):
            return False
        for partition in partitions.values():
            partition.open()
        return True

    def _count_fence(self) -> None:
        self._health.fenced += 1

    def _count_restored(self, records: int) -> None:
        self._health.restored_records += records

    async def _stop_producers(self) -> None:
        producers = [p.producer for p in self._roster.partitions.values()]
        self._roster.partitions = {}
        for outcome in await asyncio.gather(*(p.stop() for p in producers), return_exceptions=True):
            if isinstance(outcome, Exception):
                log.warning("producer_stopped_uncleanly", error=repr(outcome))

    async def _question_emptiness(self) -> None:
        """Own nothing. End the process if a partition was assigned to nobody.

        An assignor that leads with metadata not loaded yet assigns nothing to anyone, for ever,
        without an error; a worker started again makes the group assign anew. That others own more
        than one while this one owns none is no reason: every start disturbs all of them.
        """
        await self._stop_producers()
        self._health.own({})
        sources, count = self._factory.topics.sources, self._partition_count
        try:
            await asyncio.sleep(_UNASSIGNED_GRACE_S)
            group = await self._settled_group()
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            die_of(error, ExitCode.UNASSIGNED, "assigned nothing, and the group is unknown")
        if ownerless := group.ownerless(sources, count):
            die(
                ExitCode.UNASSIGNED,
                f"assigned nothing, and {len({tp.partition for tp in ownerless})} of {count} "
                f"partitions were assigned to none of {group.members} members",
            )
        self._health.assigned = True
        log.info("worker_standing_by", members=group.members, partitions=count)

    async def _settled_group(self) -> GroupView:
        """Return the group between two assignments.

        While one is being made this worker is about to be revoked, which cancels the question.
        """
        while True:
            group = await view_group(self._factory.app_id, self._factory.bootstrap)
            if group.stable:
                return group
            await asyncio.sleep(_UNASSIGNED_GRACE_S)
