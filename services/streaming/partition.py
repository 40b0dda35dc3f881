"""One owned partition: what is delivered, its state, its step, and the units of work between them.

Obligations of every unit, in this order: the gate is held; the partition is open; the step runs on
a state that contains everything applied so far; the local-only keys are derived; the transaction
with META last is committed; the same records, the local-only keys and the position go to the local
store in one WriteBatch. Anything that goes wrong on the way ends the process, so nothing is ever
rolled back here.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from services.runtime.logging import get_logger
from services.streaming.attempts import AttemptJournal
from services.streaming.chunks import Backlog, Chunk, Delivery
from services.streaming.health import PartitionHealth
from services.streaming.interface import PartitionStep, SourceRecord, UnitOutput
from services.streaming.merge import Consumed, Merge
from services.streaming.meta import META_KEY, Meta, encode
from services.streaming.pacing import Pacer
from services.streaming.rebuilding import Rebuilding
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore, Position, Prepared
from services.streaming.succession import Bound
from services.streaming.topics import Topics
from services.streaming.tried_step import TriedStep
from services.streaming.unit_of_work import PartitionProducer, Side, by_topic, marked
from services.streaming.unit_size import UnitSize
from services.streaming.unit_store import UnitStore

log = get_logger(__name__)


class Partition:
    """A partition from its assignment to its revocation; made anew by every assignment."""

    def __init__(  # noqa: PLR0913, PLR0917  it is made in one place, of all its parts
        self,
        number: int,
        epoch: int,
        topics: Topics,
        step: PartitionStep,
        store: PartitionStore,
        journal: AttemptJournal,
        producer: PartitionProducer,
        pacer: Pacer,
        settings: EngineSettings,
    ) -> None:
        self.number = number
        self.store = store
        self.step = step
        self.producer = producer
        self.gate = asyncio.Lock()
        self.health = PartitionHealth()
        self.backlog = {topic: Backlog() for topic in topics.sources}
        self._epoch = epoch
        self._topics = topics
        self._pacer = pacer
        self._settings = settings
        self._merge = Merge(topics.sources, Meta())
        self._meta = Meta()
        self._tried = TriedStep(number, step, store, journal, settings.record_bytes)
        self._phases = self._tried.phases
        self._source_ids: Mapping[str, str] = {}
        self._rebuilding = Rebuilding()
        self.bound = Bound()
        self._withheld = False
        self._open = False
        self._holding = True
        self._unit_size = UnitSize(settings)
        self._next_tick = 0.0

    def adopt(self, source_ids: Mapping[str, str], rebuilding: Rebuilding, bound: Bound) -> None:
        """Learn, before the first unit, what METAs have to bear and what was published already."""
        self._source_ids = source_ids
        self._rebuilding = rebuilding
        self.bound = bound

    def restored(self) -> dict[str, int]:
        """Take the restored store's position over; return the source offsets to seek to."""
        self._meta = self.store.meta
        self._tried.recall(self._meta)
        self._merge = Merge(self._topics.sources, self._meta)
        self._show()
        return {topic: self._meta.next_offset(topic) or 0 for topic in self._topics.sources}

    def open(self) -> None:
        """Begin to work. The sources must have been sought to what ``restored`` returned."""
        # Spread over the partitions, else all of them would tick in the same instant for ever.
        self._next_tick = time.monotonic() + 1.0 + 0.2 * self.number
        self._open = True
        self.health.shadow = self.bound.shadow
        self.health.ready = True

    def close(self) -> None:
        """Let no further unit begin; one in flight goes on until the gate is free."""
        self._open = False
        self.health.ready = False

    @property
    def is_open(self) -> bool:
        """True between restoration and revocation."""
        return self._open

    @property
    def tick_due(self) -> bool:
        """True when the step should be asked for a tick."""
        may_tick = self._open and not self._holding and not self.bound.shadow
        return may_tick and time.monotonic() >= self._next_tick

    def add_backlog(self, chunk: Chunk) -> None:
        """Count records that are on their way here."""
        backlog = self.backlog[chunk.topic]
        backlog.records += len(chunk.records)
        backlog.held += chunk.held
        self.health.waiting_records += len(chunk.records)

    def positions(self) -> dict[str, int]:
        """Return the next offset of each source topic that is not in the state."""
        return {topic: applied.next_offset for topic, applied in self._merge.applied.items()}

    async def work(self, arrived: Callable[[], Sequence[Delivery]]) -> None:
        """Take over what ``arrived`` yields, and run units until nothing more can be released.

        What arrives while a unit waits for its turn is taken too, so that units grow under load.

        Raises:
            HoleError: records are missing.
            EngineError: the step or the transaction failed.
        """
        async with self.gate:
            while self._open:
                self._accept(arrived())
                if not self._may_work() and not self.tick_due:
                    # Offsets that hold no record are passed without a unit.
                    self.health.applied = self._merge.applied
                    break
                wanted = time.monotonic()
                await self._pacer.turn()
                self._accept(arrived())
                if self._open:
                    self.health.in_flight = True
                    await self._unit(wanted)
                    self.health.in_flight = False

    def _accept(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.epoch != self._epoch:
                continue
            for chunk in delivery.chunks:
                self._merge.accept(chunk)
            for end in delivery.ends:
                self._merge.note_end(end)
                self.health.ends[end.topic] = end.stable_end
        self.health.oldest_ms = self._merge.oldest_ms

    def _may_work(self) -> bool:
        """Tell whether a unit has records: while the step holds, control records only."""
        if self._holding:
            self._holding = self.health.holding = self._tried.holds()
        if self._holding:
            return bool(self._next_records())
        if self.bound.shadow:
            # It waits rightly for the running version, not for its own merge.
            self.health.following = self._merge.ready() and not self._next_records()
            return self._merge.ready() and not self.health.following
        return self._merge.ready()

    def _next_records(self) -> Sequence[SourceRecord]:
        """Return what the next unit may take: while the step holds, one control record at most."""
        if self._holding:
            records: Sequence[SourceRecord] = self._merge.peek_topic(self._topics.control)
        else:
            limit = self._tried.limit(self._unit_size.records)
            records = self._merge.peek(limit, self._settings.unit_input_bytes)
        records, self._withheld = self.bound.cut(records)
        return records

    async def _unit(self, wanted: float) -> None:
        """Do one unit; ``wanted``: when its first record was at hand (monotonic seconds)."""
        spent = self._phases.spent
        spent.clear()
        started = time.monotonic()
        records = self._next_records()
        view = UnitStore(self.store, self.step.local_index)
        run = partial(self._run_step, records, view)
        output, size = await self._pacer.compute(run)
        taken = len(records) if output.taken is None else output.taken
        stream_time_ms = max(
            (r.append_time_ms for r in records[:taken]), default=self._meta.stream_time_ms
        )
        stream_time_ms = max(stream_time_ms, self._meta.stream_time_ms)
        side = by_topic(() if self._withheld else self._rebuilding.withhold(output.side))
        tick = self._ask_tick(view, stream_time_ms)
        if tick is not None:
            side.setdefault(self._topics.control, []).append((*tick, ()))
        stepped = time.monotonic()
        if records:
            prepare = partial(self._tried.prepare, records[0], len(records), output)
            await self._commit_state(output, side, taken, stream_time_ms, prepare)
        elif side:
            with self._phases.timed("commit"):
                ticked = marked(side, self.producer.mark(self._meta.unit))
                await self.producer.commit(list(ticked.items()))
        step_s = spent.get("step", 0.0) + spent.get("prepare", 0.0)
        self._unit_size.learn(len(records), size, step_s)
        self._tried.passed(records[:taken])
        ended = time.monotonic()
        self.health.step_s, self.health.unit_s = stepped - started, ended - started
        if records or side:
            self.health.progress_at = ended
            self._count(side, taken, ended - wanted)
        self._show()

    async def _commit_state(
        self,
        output: UnitOutput,
        side: Side,
        taken: int,
        stream_time_ms: int,
        prepare: Callable[[bytes], Prepared],
    ) -> None:
        """Commit a unit's records with META last, then write them to the local store."""
        consumed = self._merge.consume(taken)
        applied = self._merge.applied
        rebuild = self._rebuilding.mark(applied)
        meta = Meta(
            self._meta.unit + 1,
            stream_time_ms,
            applied,
            self._source_ids,
            rebuild,
            shadow=self._withheld,
        )
        meta_value = encode(meta)
        prepared = await self._pacer.compute(partial(prepare, meta_value))
        changelog = [(key, value, ()) for key, value in output.changelog.items()]
        if not self._withheld:
            side.setdefault(self._topics.timeline, []).append((META_KEY, meta_value, ()))
        beside = marked(side, self.producer.mark(meta.unit)).items()
        with self._phases.timed("commit"):
            offsets = await self.producer.commit(
                [(self._topics.changelog, [*changelog, (META_KEY, meta_value, ())]), *beside]
            )
        meta_offset = offsets[self._topics.changelog]
        with self._phases.timed("local"):
            self.store.apply(prepared, Position(meta_offset + 1, meta_offset))
        self._tried.committed()
        self.health.totals.wrote(self._topics.changelog, len(changelog) + 1)
        self._meta = meta
        self._account(consumed)

    def _run_step(self, records: Sequence[SourceRecord], view: UnitStore) -> tuple[UnitOutput, int]:
        if not records:
            return UnitOutput(), 0
        return self._tried.run(records, view, self._meta.stream_time_ms)

    def _ask_tick(self, view: UnitStore, stream_time_ms: int) -> tuple[bytes, bytes] | None:
        if not self.tick_due:
            return None
        self._next_tick = time.monotonic() + self._settings.tick_interval_s
        return self._tried.tick(view, stream_time_ms)

    def _account(self, consumed: Sequence[Consumed]) -> None:
        for topic, records, freed in consumed:
            backlog = self.backlog[topic]
            backlog.records -= records
            backlog.held -= freed
            self.health.waiting_records -= records
            self.health.records += records

    def _count(self, side: Mapping[str, Sequence[object]], taken: int, seconds: float) -> None:
        """Count a committed unit that took ``seconds`` from its first record at hand."""
        totals = self.health.totals
        totals.units += 1
        totals.records += taken
        for topic, written in side.items():
            totals.wrote(topic, len(written))
        totals.phases["wait"].observe(max(0.0, seconds - sum(self._phases.spent.values())))
        for phase, spent in self._phases.spent.items():
            totals.phases[phase].observe(spent)

    def _show(self) -> None:
        self.health.unit = self._meta.unit
        self.health.stream_time_ms = self._meta.stream_time_ms
        self.health.applied = self._meta.applied
        self.health.oldest_ms = self._merge.oldest_ms
