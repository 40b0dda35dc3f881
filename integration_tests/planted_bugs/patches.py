"""The ten bugs: each changes one class of one service, in the process that runs it alone.

A patch names what it replaces; where that is gone, it fails loudly and has to be written anew.
``memory`` is a file by which the lives of a process know of one another.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaConsumer

from integration_tests.system.city_log import partition_of
from services.contracts import topics
from services.intake import publisher
from services.intake.engine import IntakeEngine as Engine
from services.intake.placement import Entry
from services.lifecycle import fold
from services.lifecycle.folding.slots import Verdict
from services.lifecycle.step import LifecycleStep
from services.profiles.watch_session import WatchSession
from services.projection import source
from services.streaming import polling, unit_of_work
from services.streaming.exits import EngineError
from services.streaming.merge import HoleError, Merge
from services.streaming.meta import META_KEY
from services.streaming.unit_of_work import PartitionProducer

STUMBLES = b"stumble"
"""A record that holds this makes the step fail where a bug lets it go on."""
SPANNED_SECONDS = 600

Records = Sequence[tuple[str, Sequence[tuple[bytes | None, bytes, Any]]]]
"""Topic and records, as a unit of work commits them."""


def _swap(owner: Any, name: str, made_of: Callable[[Any], Any]) -> None:
    """Put something made of what is there in its place; AttributeError where nothing is."""
    setattr(owner, name, made_of(getattr(owner, name)))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _has_state(written: Records) -> bool:
    """Whether an entity's state is among the records."""
    return any((key or b"").endswith(b"|e") for _topic, records in written for key, *_ in records)


def _chosen(written: Records, *, meta: bool) -> Records:
    """Return the META records, or the others."""
    parts = [(t, [r for r in records if (r[0] == META_KEY) is meta]) for t, records in written]
    return [(topic, records) for topic, records in parts if records]


def count_by_adding(_memory: Path) -> None:
    """Counters are bumped by what a matter counts; what it counted before is not taken out."""

    def made_of(plan: Any) -> Any:
        def patched(entity: Any, old: Any, *rest: Any) -> Any:
            return plan(entity, replace(old, sums=Counter()), *rest)

        return patched

    _swap(fold, "_plan", made_of)


def acks_not_awaited(_memory: Path) -> None:
    """An intake answers once a record is in the producer's buffer, with the place it expects.

    It would notice when it reads its own record back, so that is taken out too.
    """
    expected: Counter[int] = Counter()

    def slow(connect: Any) -> Any:
        return lambda **settings: connect(**{**settings, "linger_ms": 600_000})

    def made_of(send: Any) -> Any:
        def patched(self: Any, flight: Any, index: int, record: Any) -> None:
            send(self, flight, index, record)
            number = partition_of(record.key)
            publisher._settle(flight, index, publisher.Acknowledged(number, expected[number]))
            expected[number] += 1

        return patched

    def not_reading(_read_past: Any) -> Any:
        async def patched(_self: Engine, _results: Any) -> None:
            """Go on at once."""

        return patched

    def believing(_outcome: Any) -> Any:
        def patched(self: Engine, prepared: Any, result: Any, _entry: Any) -> Any:
            key = prepared.record.key.decode()
            place = Entry(result.partition, result.offset, 0, prepared.payload_hash, key)
            return self._receipt(prepared.event_id, place)

        return patched

    _swap(publisher, "KafkaProducer", slow)
    _swap(publisher.KafkaPublisher, "_send", made_of)
    _swap(Engine, "_read_past", not_reading)
    _swap(Engine, "_outcome", believing)


def offsets_outside_the_transaction(memory: Path) -> None:
    """State and alerts are committed first, the position in a transaction of its own after them.

    The first unit with an event is the last one of the first life: it ends between the two.
    """

    def made_of(commit: Any) -> Any:
        async def patched(self: PartitionProducer, written: Records) -> dict[str, int]:
            offsets: dict[str, int] = await commit(self, _chosen(written, meta=False))
            if _has_state(written) and _is_first(memory):
                _die()
            metas = _chosen(written, meta=True)
            return offsets | (await commit(self, metas) if metas else {})

        return patched

    _swap(PartitionProducer, "commit", made_of)


def _is_first(memory: Path) -> bool:
    """Whether this is the first time, over all lives."""
    if memory.exists():
        return False
    memory.touch()
    return True


def one_transactional_id(_memory: Path) -> None:
    """Every partition's producer has the worker's transactional id, so the last one fences all.

    The engine would end itself at the first commit that fails, so that check is taken out too: the
    worker goes on as if what it wrote were committed.
    """
    ends: dict[tuple[int, str], int] = {}

    def made_of(make: Any) -> Any:
        def named(**settings: Any) -> Any:
            name = settings["transactional_id"].rpartition("-")[0]
            return make(**{**settings, "transactional_id": name})

        return named

    def overlooking(commit: Any) -> Any:
        async def patched(self: PartitionProducer, written: Records) -> dict[str, int]:
            try:
                offsets: dict[str, int] = await commit(self, written)
            except EngineError:
                offsets = {
                    topic: ends.get((self.partition, topic), -1) + len(records)
                    for topic, records in written
                }
            ends.update({(self.partition, topic): at for topic, at in offsets.items()})
            return offsets

        return patched

    _swap(unit_of_work, "AIOKafkaProducer", made_of)
    _swap(PartitionProducer, "commit", overlooking)


def poll_across_a_rebalance(memory: Path) -> None:
    """A poll begun under one assignment takes the records of the next one, and nobody gets them.

    That is what waiting inside aiokafka's fetcher does. The engine would notice the hole and end
    itself, so that check is taken out too. ``memory`` tells when a hole was passed over: what was
    dropped is fetched again where the partitions move once more before that. A hole of the control
    topic may be one of markers alone.
    """
    control = topics.name("control.v1")

    def made_of(poll: Any) -> Any:
        async def patched(kafka: AIOKafkaConsumer, *rest: Any) -> Any:
            found = await poll(kafka, *rest)
            if found is None and not _remembers(memory):
                wanted = next(part for part in rest if isinstance(part, set))
                await kafka._fetcher.fetched_records(wanted, timeout=SPANNED_SECONDS)
            return found

        return patched

    def overlooking(accept: Any) -> Any:
        def patched(self: Merge, chunk: Any) -> None:
            try:
                accept(self, chunk)
            except HoleError:
                self._by_topic[chunk.topic].delivered = chunk.start
                accept(self, chunk)
                if chunk.topic != control:
                    _is_first(memory)

        return patched

    _swap(polling, "poll", made_of)
    _swap(Merge, "accept", overlooking)


def _remembers(memory: Path) -> bool:
    return memory.exists()


def commit_past_a_gap(_memory: Path) -> None:
    """A record that the step fails at is skipped, and the position goes past it."""

    def made_of(take: Any) -> Any:
        def patched(self: LifecycleStep, working: Any, record: Any, *rest: Any) -> Any:
            try:
                return _stumbling(record, take, self, working, record, *rest)
            except RuntimeError:
                return []

        return patched

    _swap(LifecycleStep, "_event", made_of)


def _stumbling(record: Any, take: Any, *arguments: Any) -> Any:
    if STUMBLES in (record.value or b""):
        raise RuntimeError("stumbled")
    return take(*arguments)


def wrong_tie_break(_memory: Path) -> None:
    """Of two contents under one version the later one holds."""

    def made_of(judge: Any) -> Any:
        def patched(*arguments: Any) -> Verdict:
            verdict: Verdict = judge(*arguments)
            return Verdict.APPLIED if verdict is Verdict.CONFLICT else verdict

        return patched

    _swap(fold, "judge", made_of)


def projection_before_the_commit(_memory: Path) -> None:
    """The projection writes what is not committed yet."""

    def made_of(make: Any) -> Any:
        return lambda bootstrap_servers, _level: make(bootstrap_servers, "read_uncommitted")

    _swap(source, "_consumer", made_of)


def cursor_off_by_one(_memory: Path) -> None:
    """A cursor names the last record that was delivered instead of the next one."""

    def made_of(deliver: Any) -> Any:
        async def patched(self: WatchSession, items: Sequence[Any], positions: Any) -> None:
            named = list(positions)
            for item in items:
                named[item.partition] = item.offset
            await deliver(self, items, tuple(named))

        return patched

    _swap(WatchSession, "_deliver", made_of)


def dead_letter_dropped(_memory: Path) -> None:
    """What cannot be folded is counted, but not kept."""

    def made_of(take: Any) -> Any:
        def patched(self: LifecycleStep, *arguments: Any) -> list[Any]:
            side = take(self, *arguments)
            return [record for record in side if record.topic != topics.name("dead-letter.v1")]

        return patched

    _swap(LifecycleStep, "_event", made_of)


def dies_after_a_commit(memory: Path) -> None:
    """No bug but a fault: the first life of a worker ends when its first event is committed."""

    def made_of(commit: Any) -> Any:
        async def patched(self: PartitionProducer, written: Records) -> dict[str, int]:
            offsets: dict[str, int] = await commit(self, written)
            if _has_state(written) and _is_first(memory):
                _die()
            return offsets

        return patched

    _swap(PartitionProducer, "commit", made_of)


def dies_before_the_commit(memory: Path) -> None:
    """No bug but a fault: a worker ends when a unit with an event is written, not committed."""

    async def die() -> None:
        _is_first(memory)
        _die()

    def made_of(commit: Any) -> Any:
        async def patched(self: PartitionProducer, written: Records) -> dict[str, int]:
            if _has_state(written):
                self._producer.commit_transaction = die
            offsets: dict[str, int] = await commit(self, written)
            return offsets

        return patched

    _swap(PartitionProducer, "commit", made_of)


Patch = Callable[[Path], None]

PATCHES: Mapping[str, Patch] = MappingProxyType(
    {
        patch.__name__: patch
        for patch in (
            count_by_adding,
            acks_not_awaited,
            offsets_outside_the_transaction,
            one_transactional_id,
            poll_across_a_rebalance,
            commit_past_a_gap,
            wrong_tie_break,
            projection_before_the_commit,
            cursor_off_by_one,
            dead_letter_dropped,
            dies_after_a_commit,
            dies_before_the_commit,
        )
    }
)
"""Name → patch; the last two are faults that belong to a scenario."""
