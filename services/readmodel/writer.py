"""The writing half: only the projection uses it."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from services.readmodel import positions, scripts
from services.readmodel.errors import SupersededError
from services.readmodel.keys import Keys
from services.readmodel.pointers import HASH_BYTES, OFFSET_BYTES, Pointer, encode_time
from services.readmodel.positions import TOPICS_READ, Heads
from services.readmodel.record import HEADER_BYTES_MAX

NEWEST_ENTRIES_KEPT = 8
"""Newest timeline entries of an entity that Redis keeps as bytes; older ones are in the log."""

PUT_RECORDS_MAX = 100
"""Records a script call takes: it stops Redis for about that many times 10 µs."""
PUT_FACTS_MAX = 100
WRITE_MARK_SECONDS = 600
"""A writer that was paused for longer between data and positions has to write again."""

_SUPERSEDED = re.compile(r"(?:^|: \(['\"])SUPERSEDED by generation (\w+)")


@dataclass(frozen=True, slots=True)
class TimelineFact:
    """One fact to be put on a timeline; ``message`` empty: it is not shown (移出)."""

    pointer: Pointer
    message: bytes


@dataclass(slots=True)
class TopicBatch:
    """What was read of one partition of one topic, and the step of its position.

    ``expected``: the position Redis must have (None: none yet), else the step is refused.
    ``records``: Redis key → value (`record.encode`), the newest one of a key.
    ``done``: everything that was there when reading began is contained.
    ``meta``: the value of the newest META record passed in this batch.
    """

    partition: int
    topic: str
    expected: int | None
    next_offset: int
    records: dict[str, bytes] = field(default_factory=dict)
    timelines: dict[str, list[TimelineFact]] = field(default_factory=dict)
    done: bool = False
    meta: bytes | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A position that was not moved: the reader has to go where it is (None: to 0)."""

    partition: int
    topic: str
    found: int | None


class ReadModelWriter:
    """Writes one generation, until one that was registered later answers.

    Two writers of one partition do no harm: the older record loses.

    Every method lets the errors of Redis through (`connection.passes` tells which pass by
    themselves); what was sent before an error may or may not be there, so read the positions again
    after one. SupersededError is raised by all that would write once a newer generation answered.
    """

    def __init__(
        self,
        client: Redis,
        keys: Keys,
        *,
        newest_entries_kept: int = NEWEST_ENTRIES_KEPT,
        goes_back: bool = False,
    ) -> None:
        """``goes_back``: begin a generation anew that was superseded, and be the newest."""
        self._client = client
        self._keys = keys
        self._newest_entries_kept = newest_entries_kept
        self._goes_back = goes_back
        self._ordinal = 0
        self._register = client.register_script(scripts.REGISTER)
        self._put_records = client.register_script(scripts.PUT_RECORDS)
        self._put_timeline = client.register_script(scripts.PUT_TIMELINE)
        self._begin_write = client.register_script(scripts.BEGIN_WRITE)
        self._advance = client.register_script(scripts.ADVANCE)
        self._beat = client.register_script(scripts.BEAT)
        self._promote = client.register_script(scripts.PROMOTE)

    async def register(self) -> None:
        """Note that the generation holds data, so that it can be deleted when it is over.

        The first time ever gives it its place among the others, which it keeps whoever writes it:
        that a process of an older one starts again makes it no newer. SupersededError when a newer
        one answered, unless this writer ``goes_back`` and has not been registered before.
        """
        with _superseding():
            ordinal = await self._register(
                keys=[
                    self._keys.generations,
                    self._keys.superseded,
                    self._keys.promoted,
                    self._keys.positions,
                ],
                args=[self._keys.generation, self._ordinal, "1" if self._goes_back else ""],
            )
        self._ordinal = int(ordinal)

    async def run(self) -> str:
        """Return the run of Redis: another one after every start."""
        server = await self._client.info("server")
        return str(server["run_id"])

    async def positions(self, partitions: Iterable[int]) -> dict[tuple[int, str], int | None]:
        """Return the next offset of each topic of each partition; None where nothing is there."""
        places = [(p, topic) for p in partitions for topic in TOPICS_READ]
        fields = [positions.position_field(p, topic) for p, topic in places]
        found = await self._client.hmget(self._keys.positions, fields)
        return {
            place: None if value is None else int(value)
            for place, value in zip(places, found, strict=True)
        }

    async def state_metas(self, partitions: Iterable[int]) -> dict[int, bytes | None]:
        """Return the newest META passed in the state topic, by partition; None: none yet."""
        numbers = list(partitions)
        fields = [positions.meta_field(p, positions.LIFECYCLE) for p in numbers]
        found: Any = await self._client.hmget(self._keys.positions, fields)
        return dict(zip(numbers, found, strict=True))

    async def write(self, batches: Sequence[TopicBatch]) -> list[Mismatch]:
        """Write the data of the batches, and only when Redis took all of it their positions.

        Every command of a pipeline runs, whatever became of those before it. So the positions go in
        one of their own: of data that Redis refused (full, a key of another kind) none is moved,
        and what was taken of it is harmless, since the same records put again change nothing.

        Returns the positions that were not moved, since they were not as expected or what was
        written is not in Redis any more (flushed, started again in between); newer records stay.
        """
        mark = self._keys.write_mark(uuid.uuid4().hex)
        data = self._client.pipeline(transaction=False)
        await self._begin_write(
            keys=[mark, self._keys.promoted],
            args=[WRITE_MARK_SECONDS, self._keys.generation, self._ordinal],
            client=data,
        )
        for batch in batches:
            await self._queue_data(data, batch)
        with _superseding():
            await data.execute()
        steps = self._client.pipeline(transaction=False)
        for batch in batches:
            await self._queue_step(steps, batch, mark)
        steps.unlink(mark)
        with _superseding():
            answers = await steps.execute()
        return [
            Mismatch(batch.partition, batch.topic, int(answer) if answer else None)
            for batch, answer in zip(batches, answers[:-1], strict=True)
            if answer is not None
        ]

    async def beat(
        self, heads: Mapping[int, Heads], expected: Mapping[tuple[int, str], int | None]
    ) -> list[int]:
        """Write how far the sources reach; return the partitions whose positions are not expected.

        ``expected``: the position of every topic of every partition in ``heads``. An idle
        projection notices by this that Redis was flushed or restored.
        """
        pipeline = self._client.pipeline(transaction=False)
        for partition, head in heads.items():
            checks: list[str | int] = []
            for topic in TOPICS_READ:
                position = expected[partition, topic]
                checks.append(positions.position_field(partition, topic))
                checks.append("" if position is None else position)
            await self._beat(
                keys=[self._keys.positions, self._keys.serving, self._keys.promoted],
                args=[
                    self._keys.generation,
                    self._ordinal,
                    positions.heads_field(partition),
                    head.encode(),
                    *checks,
                ],
                client=pipeline,
            )
        with _superseding():
            answers = await pipeline.execute()
        return [p for p, answer in zip(heads, answers, strict=True) if answer is not None]

    async def promote(self) -> bool:
        """Let this generation answer if all its partitions are complete; tell whether it does."""
        with _superseding():
            answer = await self._promote(
                keys=[
                    self._keys.positions,
                    self._keys.serving,
                    self._keys.promoted,
                    *self._keys.serving_before,
                ],
                args=[self._keys.generation, self._ordinal, *positions.all_done_fields()],
            )
        return bool(answer)

    async def _queue_step(self, pipeline: Pipeline, batch: TopicBatch, mark: str) -> None:
        await self._advance(
            keys=[self._keys.positions, self._keys.serving, mark, self._keys.promoted],
            args=[
                self._keys.generation,
                positions.position_field(batch.partition, batch.topic),
                "" if batch.expected is None else batch.expected,
                batch.next_offset,
                "1" if batch.done else "",
                batch.meta or b"",
                self._ordinal,
            ],
            client=pipeline,
        )

    async def _queue_data(self, pipeline: Pipeline, batch: TopicBatch) -> None:
        names = list(batch.records)
        for start in range(0, len(names), PUT_RECORDS_MAX):
            some = names[start : start + PUT_RECORDS_MAX]
            await self._put_records(
                keys=some,
                args=[
                    self._keys.index_prefix,
                    HEADER_BYTES_MAX,
                    *(batch.records[name] for name in some),
                ],
                client=pipeline,
            )
        for entity_key, facts in batch.timelines.items():
            for start in range(0, len(facts), PUT_FACTS_MAX):
                await self._queue_facts(
                    pipeline, batch.partition, entity_key, facts[start : start + PUT_FACTS_MAX]
                )

    async def _queue_facts(
        self, pipeline: Pipeline, partition: int, entity_key: str, facts: Sequence[TimelineFact]
    ) -> None:
        args: list[str | int | bytes] = [entity_key, self._newest_entries_kept]
        for fact in facts:
            assert len(fact.pointer.entry_hash) == HASH_BYTES
            args += [
                fact.pointer.entry_hash,
                encode_time(fact.pointer.time_ms),
                fact.pointer.offset.to_bytes(OFFSET_BYTES, "big"),
                fact.message,
            ]
        await self._put_timeline(
            keys=[
                self._keys.timeline(entity_key),
                self._keys.timeline_offsets(entity_key),
                self._keys.timeline_newest(entity_key),
                self._keys.entities(partition),
            ],
            args=args,
            client=pipeline,
        )


@contextmanager
def _superseding() -> Iterator[None]:
    """Raise SupersededError for the answer of a script that says so."""
    try:
        yield
    except ResponseError as error:
        if (by := _SUPERSEDED.search(str(error))) is None:
            raise
        raise SupersededError(by.group(1)) from error
