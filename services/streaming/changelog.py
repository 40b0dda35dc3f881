"""Restore partitions from the changelog, and check that the sources still hold what comes next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode
from services.streaming.health import RestoreProgress
from services.streaming.meta import META_KEY, decode
from services.streaming.record_parsing import source_records_of
from services.streaming.settings import EngineSettings
from services.streaming.store import LocalIndex, PartitionStore, Position

log = get_logger(__name__)

_POLL_RECORDS = 20_000
_POLL_RECORDS_BESIDE_WORK = 2_000


@dataclass(slots=True)
class _Copy:
    """A store on its way from ``begin`` or later to ``end``, offsets of its changelog partition."""

    tp: TopicPartition
    store: PartitionStore
    local_index: LocalIndex
    shown: RestoreProgress
    begin: int
    end: int
    unproven: bool = False
    """Nothing read so far tells whether what the store contains is a part of the changelog."""


class ChangelogReader:
    """A reader of committed changelog records, for the time of one recovery.

    The partition must be fenced before: then nothing can be written behind the reader's back, and
    the end it asks for first is the end.
    """

    def __init__(self, topic: str, bootstrap: str, settings: EngineSettings) -> None:
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=8 << 20,
            fetch_max_bytes=64 << 20,
            fetch_max_wait_ms=settings.fetch_wait_ms,
            request_timeout_ms=settings.request_timeout_ms,
        )

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """A reader of committed records, free for other topics when ``restore`` has returned."""
        return self._consumer

    async def start(self) -> None:
        """Connect to the brokers."""
        await self._consumer.start()
        source_records_of(self._consumer._fetcher)  # noqa: SLF001  guards.py watches it

    async def stop(self) -> None:
        """Close the connections."""
        await self._consumer.stop()

    async def measure(self, stores: Mapping[int, tuple[PartitionStore, RestoreProgress]]) -> None:
        """Show of each store how far it is: offsets, those of control records among them.

        A store that cannot be a copy of the changelog as it is has to read all of it.
        """
        parts = {TopicPartition(self._topic, number): number for number in stores}
        ends = await self._consumer.end_offsets(list(parts))
        begins = await self._consumer.beginning_offsets(list(parts))
        for tp, number in parts.items():
            store, shown = stores[number]
            known = max(store.position.next_offset, begins[tp])
            shown.first = shown.position = known if known <= ends[tp] else begins[tp]
            shown.end = ends[tp]

    async def restore(
        self,
        stores: Mapping[int, tuple[PartitionStore, LocalIndex]],
        progress: Mapping[int, RestoreProgress],
        note: Callable[[int], None],
        *,
        alone: bool,
    ) -> None:
        """Bring every store to the end of its changelog partition.

        ``progress`` shows of each partition how far it is; ``note`` is told the number of records
        after each write. Not ``alone``, other partitions work meanwhile: what is read is taken in
        smaller parts, since a part is written at once.

        A store that is ahead of the changelog, or whose newest META record is another one there or
        none (the log was truncated under it, or the unit aborted in the end), is wiped and read
        from the beginning.
        The end is reached when the fetch *position* is at the end offset: control records of
        transactions take offsets and are never delivered.
        """
        tps = [TopicPartition(self._topic, number) for number in stores]
        self._consumer.assign(tps)
        ends = await self._consumer.end_offsets(tps)
        begins = await self._consumer.beginning_offsets(tps)
        copies = {
            tp: _Copy(tp, *stores[tp.partition], progress[tp.partition], begins[tp], ends[tp])
            for tp in tps
        }
        for copy in copies.values():
            self._rewind(copy)
        most = _POLL_RECORDS if alone else _POLL_RECORDS_BESIDE_WORK
        unfinished = list(copies.values())
        while unfinished := [copy for copy in unfinished if not await self._is_whole(copy)]:
            answer = await self._consumer.getmany(timeout_ms=200, max_records=most)
            for tp, records in answer.items():
                if self._is_past(copies[tp], records):
                    restored = await _apply(records, copies[tp].store, copies[tp].local_index)
                    copies[tp].shown.records += restored
                    note(restored)

    def _rewind(self, copy: "_Copy") -> None:
        """Seek to where reading has to begin: at the META record that the store remembers."""
        store, begin = copy.store, copy.begin
        if store.position.next_offset > copy.end:
            log.warning(
                "local_store_wiped",
                partition=copy.tp.partition,
                reason="ahead of the changelog",
                next_offset=store.position.next_offset,
                end=copy.end,
            )
            store.wipe()
        copy.unproven = store.position.meta_offset >= begin
        if store.position.next_offset < begin:
            store.wipe()
        known = max(store.position.next_offset, begin)
        self._consumer.seek(copy.tp, store.position.meta_offset if copy.unproven else known)
        copy.shown.first = copy.shown.position = known
        copy.shown.end = copy.end

    async def _is_whole(self, copy: "_Copy") -> bool:
        """Tell whether all is read; a store of which the end brought no proof is read anew."""
        position = await self._consumer.position(copy.tp)
        copy.shown.position = max(copy.shown.position, position)
        if position < copy.end:
            return False
        if copy.unproven:
            self._start_over(copy)
            return False
        self._consumer.pause(copy.tp)
        return True

    def _is_past(self, copy: "_Copy", records: Sequence[Any]) -> bool:
        """Tell whether these records may follow what the store contains; if not, start over."""
        proof = _proof(records, copy.store) if copy.unproven else True
        copy.unproven = proof is None
        if proof is False:
            self._start_over(copy)
            return False
        return True

    def _start_over(self, copy: "_Copy") -> None:
        """Read everything: what the store contains is not what became of the changelog."""
        log.warning("local_store_wiped", partition=copy.tp.partition, reason="another past")
        copy.store.wipe()
        copy.unproven = False
        self._consumer.seek(copy.tp, copy.begin)
        copy.shown.first = copy.shown.position = copy.begin

    async def check_sources(
        self, topic_ids: Mapping[str, str], stores: Mapping[int, PartitionStore]
    ) -> None:
        """Check that every source topic still holds all the state has not applied yet.

        ``topic_ids``: source topics and the changelog → their ids now.

        Raises:
            EngineError: SOURCE_TRUNCATED, naming topic and partition: it is another topic than the
                one applied, begins after the next record to read (never a silent partial view), or
                ends before it. Or the changelog is not the one that its newest META was written
                for: a worker outlived the topic's deletion, and what it wrote is not the state.
        """
        known_topics = {TopicPartition(t, number): number for t in topic_ids for number in stores}
        for tp, number in known_topics.items():
            known = stores[number].meta.topic_ids.get(tp.topic)
            if known not in {None, topic_ids[tp.topic]}:
                raise EngineError(
                    ExitCode.SOURCE_TRUNCATED,
                    f"{tp.topic} has id {topic_ids[tp.topic]}, but the state of partition {number} "
                    f"has applied {known}: the topic was made anew under the state",
                )
        wanted = {tp: n for tp, n in known_topics.items() if tp.topic != self._topic}
        begins = await self._consumer.beginning_offsets(list(wanted))
        ends = await self._consumer.end_offsets(list(wanted))
        for tp, number in wanted.items():
            next_offset = stores[number].meta.next_offset(tp.topic) or 0
            if begins[tp] > next_offset:
                raise EngineError(
                    ExitCode.SOURCE_TRUNCATED,
                    f"{tp.topic} partition {tp.partition} begins at offset {begins[tp]}, but the "
                    f"state has applied only what is below {next_offset}: records are lost",
                )
            if ends[tp] < next_offset:
                raise EngineError(
                    ExitCode.SOURCE_TRUNCATED,
                    f"{tp.topic} partition {tp.partition} ends at offset {ends[tp]}, but the state "
                    f"has applied up to {next_offset}: the topic was made anew under the state",
                )


def _proof(records: Sequence[Any], store: PartitionStore) -> bool | None:
    """Tell whether what is read from the META record on that the store remembers fits it.

    That record may be compacted away: then later units have left theirs. Where the next one counts
    no further it was not compacted but aborted, and its unit made again. None: no META came yet.
    """
    first = records[0]
    if first.offset == store.position.meta_offset:
        return bool(first.key == META_KEY and first.value == store.meta_value)
    following = next((r.value for r in records if r.key == META_KEY), None)
    if following is None:
        return None
    meta, held = decode(following), store.meta
    further = all((meta.next_offset(t) or 0) >= at.next_offset for t, at in held.applied.items())
    return meta.unit > held.unit and further


async def _apply(records: Sequence[Any], store: PartitionStore, local_index: LocalIndex) -> int:
    """Write the records of one poll that are not in the store yet; return their number."""
    fresh = records
    if records[0].offset < store.position.next_offset:
        fresh = [r for r in records if r.offset >= store.position.next_offset]
    if not fresh:
        return 0
    meta_offset = max(
        (r.offset for r in fresh if r.key == META_KEY), default=store.position.meta_offset
    )
    prepared = await store.prepare_in_turns(((r.key, r.value) for r in fresh), local_index)
    store.apply(prepared, Position(fresh[-1].offset + 1, meta_offset))
    return len(fresh)
