"""The loop of the projection: read, write, step forward; rewind when Redis is not where it was.

Positions are kept only in Redis. A batch is written with the position it expects there; a refusal
(flushed, restored, another projector was faster) sends the reader to the position that is there.
So nothing is lost whatever happens to Redis, and a rebuild is the same loop from offset 0. A Redis
that started again answers nobody until all that is on the log now is applied once more: what it
loaded may be older than what it had answered.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from services.projection import mapping
from services.projection.metrics import ProjectionFigures
from services.projection.source import CommittedSource, Place, PositionLostError, passes
from services.projection.state_progress import StateProgress
from services.readmodel import connection
from services.readmodel.generations import GenerationCleaner
from services.readmodel.keys import Keys
from services.readmodel.positions import TOPICS_READ, Heads
from services.readmodel.writer import ReadModelWriter, TopicBatch
from services.runtime.logging import get_logger
from services.streaming.interface import SourceRecord

BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 2.0
POLL_TIMEOUT_MS = 100
ENDS_INTERVAL_SECONDS = 2.0
"""How often the ends of what is projected are asked for, to show the lag."""

log = get_logger(__name__)


class Projector:
    """Projects some partitions into one generation, until it is told to stop."""

    def __init__(
        self,
        source: CommittedSource,
        writer: ReadModelWriter,
        cleaner: GenerationCleaner,
        keys: Keys,
        *,
        partitions: Sequence[int],
        poll_records_max: int,
        heads_interval_seconds: float,
    ) -> None:
        self._source = source
        self._writer = writer
        self._cleaner = cleaner
        self._keys = keys
        self._partitions = tuple(partitions)
        self._poll_records_max = poll_records_max
        self._heads_interval_seconds = heads_interval_seconds
        self._in_redis: dict[Place, int | None] = {}
        self._goals: dict[Place, int] = {}
        self._done: set[Place] = set()
        self._heads: dict[int, Heads] | None = None
        self._states = StateProgress()
        self._cleaned = False
        self._attached = False
        self._run = ""
        self._trouble = False
        self.figures = ProjectionFigures(self._in_redis, self._goals)
        self.complete = asyncio.Event()
        """Set once every partition of this process was complete; stays set."""

    async def run(self, stop: asyncio.Event) -> None:
        """Project until ``stop``. Redis may come and go; any other failure is raised.

        Raises UnreadableRecordError, PositionLostError, SupersededError when a newer generation
        answers, and the errors of Kafka and Redis that do not pass.
        """
        watching = asyncio.create_task(self._watch_heads())
        backoff = BACKOFF_SECONDS_MIN
        try:
            while not stop.is_set():
                self.figures.loop_alive = time.monotonic()
                if watching.done():
                    watching.result()
                try:
                    if not self._attached:
                        await self._attach()
                    await self._round()
                    backoff = BACKOFF_SECONDS_MIN
                except (RedisError, OSError, KafkaError) as error:
                    of_kafka = isinstance(error, KafkaError)
                    if not (passes(error) if of_kafka else connection.passes(error)):
                        raise
                    self._detach(error)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), backoff)
                    backoff = min(2 * backoff, BACKOFF_SECONDS_MAX)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _attach(self) -> None:
        """Go to the positions that Redis has, and note how far completeness reaches."""
        self._run = await self._writer.run()
        await self._writer.register()
        self._in_redis = await self._writer.positions(self._partitions)
        self._states.begin(await self._writer.state_metas(self._partitions))
        self._goals = await self._source.projected_ends()
        self._done.clear()
        self.figures.complete = False
        self.figures.positions, self.figures.ends = self._in_redis, self._goals
        for place, position in self._in_redis.items():
            self._go_to(place, position)
        self._attached = self.figures.attached = True
        self._trouble = False
        behind = sum(self._goals[at] - (position or 0) for at, position in self._in_redis.items())
        log.info("read_model_attached", generation=self._keys.generation, offsets_behind=behind)

    def _detach(self, error: Exception) -> None:
        """Say once that Redis or Kafka is away; what was in flight is read again."""
        self._attached = self.figures.attached = False
        if not self._trouble:
            log.warning("read_model_detached", error=f"{type(error).__name__}: {error}")
        self._trouble = True

    def _go_to(self, place: Place, position: int | None) -> None:
        if position is not None and position > self._goals[place]:
            raise PositionLostError(
                f"{place[1]}/{place[0]}: Redis is at offset {position}, the log ends at "
                f"{self._goals[place]}: the log lost its end, or Redis belongs to another one; "
                "flush Redis to rebuild (读模型位点超出日志末尾，请清空 Redis 重建)"
            )
        self._source.seek(place, position or 0)

    async def _round(self) -> None:
        polled = await self._source.poll(POLL_TIMEOUT_MS, self._poll_records_max)
        batches = [
            batch
            for place in self._in_redis
            if (batch := await self._batch(place, polled.get(place, ()))) is not None
        ]
        if batches:
            began = time.monotonic()
            await self._write(batches)
            self.figures.wrote(sum(map(len, polled.values())), time.monotonic() - began)
        if self._heads is not None:
            heads, self._heads = self._heads, None
            await self._publish(heads)

    async def _batch(self, place: Place, records: Sequence[SourceRecord]) -> TopicBatch | None:
        """Return what a place has to write, None when neither position nor mark would change."""
        position = await self._source.position(place)
        reached = place not in self._done and position >= self._goals[place]
        expected = self._in_redis[place]
        if position == expected and not reached:
            return None
        batch = TopicBatch(*place, expected=expected, next_offset=position)
        for record in records:
            mapping.apply(self._keys, batch, record.offset, record.key, record.value)
        batch.done = reached and self._states.is_whole_after(batch)
        return batch if position != expected or batch.done else None

    async def _write(self, batches: Sequence[TopicBatch]) -> None:
        refused = {(m.partition, m.topic): m.found for m in await self._writer.write(batches)}
        for batch in batches:
            place = (batch.partition, batch.topic)
            if place not in refused:
                self._in_redis[place] = batch.next_offset
                if batch.done:
                    self._done.add(place)
        if refused:
            await self._rewind(refused)

    async def _rewind(self, found: Mapping[Place, int | None]) -> None:
        """Go to where Redis is; completeness now reaches as far as the log does today."""
        await self._writer.register()
        ends = await self._source.projected_ends()
        self.figures.complete = False
        self.figures.ends = ends
        self.figures.rewinds += len(found)
        for place, position in found.items():
            log.warning("position_moved", partition=place[0], topic=place[1], position=position)
            self._in_redis[place] = position
            self._done.discard(place)
            self._goals[place] = ends[place]
            self._go_to(place, position)

    async def _publish(self, heads: Mapping[int, Heads]) -> None:
        if await self._writer.run() != self._run:
            # Connections may have been made anew without any of them failing.
            log.warning("redis_started_again")
            self._attached = self.figures.attached = False
            return
        moved = await self._writer.beat(heads, self._in_redis)
        if moved:
            found = await self._writer.positions(moved)
            await self._rewind({p: at for p, at in found.items() if at != self._in_redis[p]})
            return
        if len(self._done) < len(self._partitions) * len(TOPICS_READ):
            return
        self.complete.set()
        self.figures.complete = True
        if await self._writer.promote() and not self._cleaned:
            self._cleaned = not await self._cleaner.step()

    async def _watch_heads(self) -> None:
        """Ask for the ends of the source topics again and again; the loop publishes the answer."""
        asked = 0.0
        while True:
            started = time.monotonic()
            try:
                self._heads = await self._source.heads()
                self._states.note_sources(self._heads)
                if self._attached and started - asked >= ENDS_INTERVAL_SECONDS:
                    self.figures.ends = await self._source.projected_ends()
                    asked = started
            except KafkaError as error:
                # While the broker is away nothing is published, and answers say how old they are.
                if not passes(error):
                    raise
            spent = time.monotonic() - started
            await asyncio.sleep(max(0.0, self._heads_interval_seconds - spent))
