"""Intakes of a simulated world: they append what is sent, and move facts that changed their place.

What they know of the log is the intakes' own pure code: places of a source record, missing MOVED
records. Two instances may both see a missing one and both write it.
"""

import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from integration_tests.simulation.broker import PARTITIONS, Broker
from integration_tests.simulation.history import ENTITIES, Submission
from services.contracts.families import Family, family_of
from services.intake.decoding import tail_record
from services.intake.moving import moved_record
from services.intake.pipeline import outgoing_record
from services.intake.placement import Place
from services.intake.publisher import OutgoingRecord
from services.intake.slot_history import missing_moves, with_record
from services.lifecycle.tests.fold_rig import payload_hash
from services.lifecycle.tests.step_rig import TOPICS
from services.streaming.interface import SourceHeaders

DIRT = b"\xff\xff what no intake writes"
DIRT_SHARE = 0.03

_TOPIC_OF = {family.name: topic for topic, family in TOPICS.families.items()}


def partition_of(entity_key: bytes) -> int:
    """Partition of an entity: its number in the world, modulo."""
    return ENTITIES.index(entity_key.decode().partition(":")[2]) % PARTITIONS


class _LogRecord(NamedTuple):
    """A record as the intakes' tail sees it."""

    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: SourceHeaders


class Intakes:
    """Feeds a history into the source topics; asked to `submit` and to `move` by the scheduler."""

    def __init__(self, broker: Broker, dice: random.Random, history: Sequence[Submission]) -> None:
        self._broker = broker
        self._dice = dice
        self._history = deque(history)
        self._places: dict[tuple[str, str], tuple[Family, tuple[Place, ...]]] = {}
        self._read: dict[tuple[str, int], int] = {}

    @property
    def idle(self) -> bool:
        """Whether everything was sent."""
        return not self._history

    def submit(self, limit: int) -> None:
        """Append what has arrived by now, at most ``limit`` records; now and then one is dirt."""
        while self._history and limit and self._history[0].arrives_ms <= self._broker.now_ms:
            event, limit = self._history.popleft().event, limit - 1
            record = outgoing_record(event, payload_hash(event))
            if self._dice.random() < DIRT_SHARE:
                self._append(family_of(event).name, record._replace(value=DIRT))
            self._append(family_of(event).name, record)

    def move(self) -> int:
        """Read on in all topics and write the MOVED records that are missing; return how many."""
        for topic, family in TOPICS.families.items():
            for partition in range(PARTITIONS):
                self._tail(topic, partition, family)
        missing = 0
        for (system, record_id), (family, places) in list(self._places.items()):
            for move in missing_moves(places):
                missing += 1
                now_ns = self._broker.now_ms * 1_000_000
                record = moved_record(family, system, record_id, move, now_ns=now_ns)
                for _ in range(self._dice.choice([1, 1, 1, 2])):
                    self._append(family.name, record)
        return missing

    def _tail(self, topic: str, partition: int, family: Family) -> None:
        log = self._broker.log(topic, partition)
        records, position = log.read(self._read.get((topic, partition), 0), len(log.records))
        self._read[topic, partition] = position
        for r in records:
            read = _LogRecord(r.partition, r.offset, r.append_time_ms, r.value, r.headers)
            seen = tail_record(family, read)
            if seen is not None:
                slot = (seen.key.source_system, seen.key.source_record_id)
                _, places = self._places.get(slot, (family, ()))
                self._places[slot] = family, with_record(places, seen)

    def _append(self, family: str, record: OutgoingRecord) -> None:
        log = self._broker.log(_TOPIC_OF[family], partition_of(record.key))
        log.append(self._broker.now_ms, record.key, record.value, record.headers)
