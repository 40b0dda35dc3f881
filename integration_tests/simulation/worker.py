"""Workers of the stream: the engine's own `Partition` and `Merge`, on a log and store in memory.

A worker that dies does so where it hurts: before its transaction, or after it and before its local
write. One that is taken for dead goes on, and has to find itself fenced.
"""

import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from unittest.mock import Mock, patch

from integration_tests.simulation.broker import ENGINE_TOPICS, Broker, Output
from integration_tests.simulation.store import LocalStore
from services.lifecycle.step import LifecycleStep
from services.lifecycle.tests.fold_rig import zone_of
from services.lifecycle.tests.step_rig import TOPICS
from services.streaming import partition as engine_partition
from services.streaming import tried_step
from services.streaming.attempts import Attempt, AttemptJournal
from services.streaming.chunks import Chunk, Delivery, TopicEnd
from services.streaming.interface import Headers
from services.streaming.pacing import Pacer
from services.streaming.partition import Partition
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore
from services.streaming.unit_of_work import PartitionProducer

SETTINGS = EngineSettings(tick_interval_s=6 * 3_600, record_bytes=1_900_000)

T = TypeVar("T")


class Crash(BaseException):
    """The process is killed here: nothing may catch it on the way."""


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    raise AssertionError("the engine waited for something that a simulation does not have")


def make_step() -> LifecycleStep:
    """The business step of a partition."""
    return LifecycleStep(TOPICS, zone_of, ("uscc",))


class _Pacer:
    """Time is the world's: nobody waits, and steps run where they are called."""

    async def compute(self, call: Callable[[], T]) -> T:
        """Run a step's call."""
        return call()

    async def turn(self) -> None:
        """Go on."""


class _Producer:
    """One owner's transactional producer; ``crash`` says where its process dies."""

    def __init__(self, broker: Broker, number: int, epoch: int) -> None:
        self._broker = broker
        self._number = number
        self._epoch = epoch
        self.crash = ""

    def mark(self, unit: int) -> Headers:
        """Nothing: here no broker leaves a transaction undecided."""
        del unit
        return ()

    async def commit(self, topics: Output) -> dict[str, int]:
        """Write a transaction, or die."""
        if self.crash == "before the commit":
            self._broker.abort(self._number, topics)
            raise Crash(self.crash)
        offsets = self._broker.commit(self._number, self._epoch, topics)
        if self.crash == "after the commit":
            raise Crash(self.crash)
        return offsets


class _Journal:
    """The note of what is being tried, which survives the process as its disk does."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def left(self) -> Attempt | None:
        """Return the try that an earlier process did not survive."""
        return self._store.attempt

    def begin(self, attempt: Attempt) -> None:
        """Note what is tried now."""
        self._store.attempt = attempt

    def succeed(self) -> None:
        """Forget it."""
        self._store.attempt = None

    def fail(self) -> None:
        """Keep it."""


CRASHES = ("in the step", "before the commit", "after the commit")


class Owner:
    """One worker's hold of one partition, from assignment to its end."""

    def __init__(
        self, broker: Broker, number: int, store: LocalStore, *, compacted: bool = False
    ) -> None:
        """Fence, restore from the changelog, and go to where META says."""
        self.number = number
        self.store = store
        self._broker = broker
        epoch = broker.fence(number)
        self._step = step = make_step()
        changelog = broker.log(ENGINE_TOPICS.changelog, number)
        store.restore(changelog, step.local_index, compacted=compacted)
        self._producer = _Producer(broker, number, epoch)
        self._partition = Partition(
            number,
            epoch,
            ENGINE_TOPICS,
            step,
            cast("PartitionStore", store),
            cast("AttemptJournal", _Journal(store)),
            cast("PartitionProducer", self._producer),
            cast("Pacer", _Pacer()),
            SETTINGS,
        )
        self._epoch = epoch
        self._positions = self._partition.restored()
        self._arrived: list[Delivery] = []
        self._partition.open()

    def fetch(self, topic: str, limit: int) -> None:
        """Take some records of one topic, as a poll would."""
        log = self._broker.log(topic, self.number)
        start = self._positions[topic]
        records, end = log.read(start, limit)
        if end > start:
            chunk = Chunk(topic, start, end, self._broker.now_ns, records)
            self._partition.add_backlog(chunk)
            self._arrived.append(Delivery(self._epoch, chunks=[chunk]))
            self._positions[topic] = end

    def ask_end(self, topic: str) -> None:
        """Learn where a topic ends."""
        log = self._broker.log(topic, self.number)
        answer = TopicEnd(topic, self._positions[topic], log.end, self._broker.now_ns)
        self._arrived.append(Delivery(self._epoch, ends=[answer]))

    def work(self, crash: str = "") -> None:
        """Run units until nothing more can be released; raises Crash, or FENCED.

        Nobody dies twice in the step of one record: the engine would put that record aside.
        """
        self._producer.crash = crash
        if crash == "in the step" and self.store.attempt is None:
            with patch.object(self._step, "run", _die):
                driven(self._partition.work(self._take))
        else:
            driven(self._partition.work(self._take))

    def lag(self) -> int:
        """Offsets of the sources that are not in the state."""
        applied = self._partition.positions()
        return sum(
            log.end - applied.get(topic, 0)
            for topic, log in self._broker.sources(self.number).items()
        )

    def _take(self) -> list[Delivery]:
        taken, self._arrived = self._arrived, []
        return taken


def _die(*_arguments: object) -> None:
    raise Crash("in the step")


@contextmanager
def clock_of(broker: Broker, dice: random.Random) -> Iterator[None]:
    """Let the engine live in the world's time, and cut its units at random."""

    class Time:
        """Stands in for the module."""

        @staticmethod
        def monotonic() -> float:
            """Seconds of the world."""
            return broker.now_ns / 1_000_000_000

    def next_records(partition: Partition) -> Any:
        partition._unit_size.records = dice.choice([1, 2, 5, 2_000])
        return uncut(partition)

    uncut = Partition._next_records
    with (
        patch.object(engine_partition, "time", Time),
        patch.object(engine_partition, "log", Mock()),
        patch.object(tried_step, "time", Time),
        patch.object(tried_step, "log", Mock()),
        patch.object(tried_step, "now_ms", lambda: broker.now_ms),
        patch.object(Partition, "_next_records", next_records),
    ):
        yield
