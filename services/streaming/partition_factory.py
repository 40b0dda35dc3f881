"""Make partitions that are fenced and restored, and keep their local stores between assignments."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from services.runtime.logging import get_logger
from services.runtime.topic_ids import topic_ids
from services.streaming.attempts import AttemptJournal, Seal
from services.streaming.changelog import ChangelogReader
from services.streaming.exits import before_exit
from services.streaming.interface import StepFactory
from services.streaming.local_database import StoreOptions
from services.streaming.pacing import Pacer
from services.streaming.partition import Partition
from services.streaming.predecessor import close_predecessor
from services.streaming.rebuilding import Identify, Published, Rebuilding, begin, read_published
from services.streaming.record_check import check_record
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore
from services.streaming.succession import (
    Bound,
    Predecessor,
    check_followed,
    check_may_go_on,
    passed_by,
)
from services.streaming.topics import Topics
from services.streaming.undecided import decide_leftovers
from services.streaming.unit_of_work import PartitionProducer

log = get_logger(__name__)


class PartitionFactory:
    """Everything a partition is made of; the stores of lost partitions are closed, not deleted.

    A worker that gets a partition back reads only the changelog's tail into its older copy.
    """

    def __init__(
        self,
        app_id: str,
        topics: Topics,
        step_factory: StepFactory,
        data_dir: Path,
        bootstrap: str,
        settings: EngineSettings,
        identify: Identify,
        predecessor: Predecessor | None,
    ) -> None:
        self.app_id = app_id
        self.topics = topics
        self.bootstrap = bootstrap
        self.settings = settings
        self._step_factory = step_factory
        self._identify = identify
        self._topic_ids: dict[str, str] = {}
        self._predecessor = predecessor
        self._data_dir = data_dir
        self._options = StoreOptions(settings.write_buffer_bytes, settings.block_cache_bytes)
        self._stores: dict[int, PartitionStore] = {}
        self._journals: dict[int, AttemptJournal] = {}
        self._seal = Seal()
        before_exit(lambda code: self._seal.absolve(code, list(self._journals.values())))
        self._pacer = Pacer(settings.transactions_per_s)

    async def fenced(
        self, numbers: Iterable[int], epoch: int, note: Callable[[], None]
    ) -> dict[int, Partition]:
        """Return new partitions whose producers have fenced every earlier owner.

        When this returns, nothing can be written to their output behind this worker's back.
        ``note`` is called for each that is fenced: aiokafka tries for ever while the coordinator
        of a transactional id is loading, or an earlier transaction of it is being ended.
        """
        changelog = self.topics.changelog
        wanted = [changelog, *self.topics.sources]
        ids = await asyncio.to_thread(topic_ids, self.bootstrap, wanted)
        self._topic_ids = {topic: ids[topic] for topic in wanted}
        owned = set(numbers)
        for number in set(self._stores) - owned:
            self._stores.pop(number).close()
            self._journals.pop(number).close()
        partitions = {n: self._make(n, epoch, ids[changelog]) for n in sorted(owned)}

        async def fence(partition: Partition) -> None:
            await partition.producer.fence()
            note()

        try:
            await asyncio.gather(*(fence(partition) for partition in partitions.values()))
            # Nobody can begin a transaction of an earlier holder any more.
            producers = {number: p.producer for number, p in partitions.items()}
            await decide_leftovers(self.bootstrap, self.topics, producers)
        except BaseException:
            await asyncio.gather(
                *(p.producer.stop() for p in partitions.values()), return_exceptions=True
            )
            raise
        return partitions

    async def restored_in_turns(
        self, partitions: Mapping[int, Partition], note: Callable[[int], None]
    ) -> AsyncGenerator[dict[int, Partition], None]:
        """Yield partitions that may be opened: the changelog is read to its end into their stores.

        The sources are checked against them too. Those that have a copy which lacks next to nothing
        come first, and may work while the others are read. With a predecessor all come together: it
        is asked, or closed, once.
        """
        reader = ChangelogReader(self.topics.changelog, self.bootstrap, self.settings)
        await reader.start()
        try:
            await reader.measure({n: (p.store, p.health.restore) for n, p in partitions.items()})
            soon = {n for n, p in partitions.items() if self._is_soon_restored(p)}
            for numbers in (soon, partitions.keys() - soon):
                if numbers:
                    turn = {number: partitions[number] for number in sorted(numbers)}
                    alone = len(turn) == len(partitions)
                    await self._restore(turn, reader, note, alone=alone)
                    yield turn
        finally:
            await reader.stop()

    def _is_soon_restored(self, partition: Partition) -> bool:
        """Tell whether a partition need not wait for others: its own copy is nearly the changelog.

        Never where it may have to be refused for what others are, or reads what it published.
        """
        held = partition.store.meta
        copied = held.unit > 0 and held.rebuild is None
        near = partition.health.restore.left <= self.settings.soon_offsets
        return self._predecessor is None and copied and near

    async def _restore(
        self,
        partitions: dict[int, Partition],
        reader: ChangelogReader,
        note: Callable[[int], None],
        *,
        alone: bool,
    ) -> None:
        await reader.restore(
            {number: (p.store, p.step.local_index) for number, p in partitions.items()},
            {number: p.health.restore for number, p in partitions.items()},
            note,
            alone=alone,
        )
        stores = {number: p.store for number, p in partitions.items()}
        check_may_go_on({n: store.meta for n, store in stores.items()}, self._predecessor)
        await reader.check_sources(self._topic_ids, stores)
        await self._resume_rebuilds(partitions, reader.consumer, note)

    async def _resume_rebuilds(
        self,
        partitions: dict[int, Partition],
        consumer: AIOKafkaConsumer,
        note: Callable[[int], None],
    ) -> None:
        """Begin the rebuild of partitions without state, and go on with those under way."""
        bounds = await self._bounds(partitions, consumer)
        metas = {number: partition.store.meta for number, partition in partitions.items()}
        stateless = [number for number, meta in metas.items() if meta.unit == 0]
        # What a predecessor has published is told from its position, not from its records.
        heirs = [n for n in stateless if bounds[n].shadow or bounds[n].passed]
        others = [n for n in stateless if n not in heirs]
        if not self.settings.rebuild:
            await check_record(consumer, self.topics.guarded, others)
        rebuilds = await begin(consumer, self.topics.sources, self.topics.guarded, others)
        rebuilds |= await begin(consumer, self.topics.sources, (), heirs)
        rebuilds |= {n: meta.rebuild for n, meta in metas.items() if meta.rebuild is not None}
        published = {n: Published(self._identify, mark.guarded) for n, mark in rebuilds.items()}
        progress = {number: p.health.restore for number, p in partitions.items()}
        await read_published(consumer, published, progress, note)
        for number, partition in partitions.items():
            rebuilding = Rebuilding(rebuilds.get(number), published.get(number), number)
            partition.adopt(self._topic_ids, rebuilding, bounds[number])
            if rebuilding.rebuild is not None and any(rebuilding.rebuild.guarded.values()):
                log.info(
                    "rebuilding",
                    partition=number,
                    until=dict(rebuilding.rebuild.sources),
                    published_before=len(published[number]),
                )

    async def _bounds(
        self, partitions: dict[int, Partition], consumer: AIOKafkaConsumer
    ) -> dict[int, Bound]:
        """Return what a predecessor has published; one that is taken over from is closed first."""
        numbers = sorted(partitions)
        if self._predecessor is None:
            return {number: Bound() for number in numbers}
        if self._predecessor.shadow:
            return {number: Bound({}, shadow=True) for number in numbers}
        stood = await close_predecessor(
            consumer, self._predecessor, self.topics, numbers, self.bootstrap, self.settings
        )
        log.info("predecessor_closed", app_id=self._predecessor.app_id, partitions=numbers)
        passed = {number: passed_by(meta) for number, meta in stood.items()}
        check_followed({n: p.store.meta for n, p in partitions.items()}, passed)
        return {number: Bound(position) for number, position in passed.items()}

    def close(self) -> None:
        """Close every store and journal."""
        for store in self._stores.values():
            store.close()
        for journal in self._journals.values():
            journal.close()
        self._stores, self._journals = {}, {}

    def _make(self, number: int, epoch: int, changelog_id: str) -> Partition:
        if number not in self._stores:
            path = self._data_dir / f"partition-{number:02d}"
            owner = f"{changelog_id}/{number}"
            self._stores[number] = PartitionStore(path, self._options, owner)
            # Only who holds the store may have its journal.
            self._journals[number] = AttemptJournal(path.with_suffix(".try"), owner, self._seal)
        limits = {self.topics.timeline: self.settings.timeline_batch_bytes}
        producer = PartitionProducer(self.app_id, number, self.bootstrap, self.settings, limits)
        return Partition(
            number,
            epoch,
            self.topics,
            self._step_factory(number),
            self._stores[number],
            self._journals[number],
            producer,
            self._pacer,
            self.settings,
        )
