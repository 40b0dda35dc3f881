"""Make partitions that are fenced and restored, and keep their local stores between assignments."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from services.runtime.topic_ids import topic_ids
from services.streaming.changelog import ChangelogReader
from services.streaming.interface import StepFactory
from services.streaming.pacing import Pacer
from services.streaming.partition import Partition, Topics
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore, StoreOptions
from services.streaming.unit_of_work import PartitionProducer


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
    ) -> None:
        self.app_id = app_id
        self.topics = topics
        self.bootstrap = bootstrap
        self.settings = settings
        self._step_factory = step_factory
        self._data_dir = data_dir
        self._options = StoreOptions(settings.write_buffer_bytes, settings.block_cache_bytes)
        self._stores: dict[int, PartitionStore] = {}
        self._pacer = Pacer(settings.transactions_per_s)

    async def fenced(self, numbers: Iterable[int], epoch: int) -> dict[int, Partition]:
        """Return new partitions whose producers have fenced every earlier owner.

        When this returns, nothing can be written to their output behind this worker's back.
        """
        changelog = self.topics.changelog
        ids = await asyncio.to_thread(topic_ids, self.bootstrap, [changelog])
        owned = set(numbers)
        for number in set(self._stores) - owned:
            self._stores.pop(number).close()
        partitions = {n: self._make(n, epoch, ids[changelog]) for n in sorted(owned)}
        try:
            await asyncio.gather(*(p.producer.fence() for p in partitions.values()))
        except BaseException:
            await asyncio.gather(
                *(p.producer.stop() for p in partitions.values()), return_exceptions=True
            )
            raise
        return partitions

    async def restore(self, partitions: dict[int, Partition], note: Callable[[int], None]) -> None:
        """Read the changelog to its end into the stores, and check the sources against them."""
        reader = ChangelogReader(self.topics.changelog, self.bootstrap, self.settings)
        await reader.start()
        try:
            await reader.restore(
                {number: (p.store, p.step.local_index) for number, p in partitions.items()},
                {number: p.health.restore for number, p in partitions.items()},
                note,
            )
            stores = {number: p.store for number, p in partitions.items()}
            await reader.check_sources(self.topics.sources, stores)
            await reader.check_record(self.topics.guarded, stores)
        finally:
            await reader.stop()

    def close(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            store.close()
        self._stores = {}

    def _make(self, number: int, epoch: int, changelog_id: str) -> Partition:
        if number not in self._stores:
            path = self._data_dir / f"partition-{number:02d}"
            self._stores[number] = PartitionStore(path, self._options, f"{changelog_id}/{number}")
        limits = {self.topics.timeline: self.settings.timeline_batch_bytes}
        producer = PartitionProducer(self.app_id, number, self.bootstrap, self.settings, limits)
        return Partition(
            number,
            epoch,
            self.topics,
            self._step_factory(number),
            self._stores[number],
            producer,
            self._pacer,
            self.settings,
        )
