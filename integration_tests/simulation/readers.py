"""Who reads what was committed: alert subscribers with cursors, and a projection into a read model.

Both are made of the services' own pure parts (cursors, the shared tail and its queues, the mapping
of records, freshness); only the connections are imitated.
"""

import random
from collections.abc import Mapping

from market_supervision.alerts.v1.alert_pb2 import AlertRecord

from integration_tests.simulation.broker import CHANGELOG, PARTITIONS, Broker, Log
from integration_tests.simulation.worker import driven
from services.contracts import topics
from services.lifecycle.tests.step_rig import TOPICS
from services.profiles.alert_log import AlertBatch, AlertItem, caught_up
from services.profiles.cursor import Cursor, CursorSigner, Positions
from services.profiles.watch_hub import Subscriber as QueuedSubscriber
from services.profiles.watch_hub import select
from services.projection import mapping
from services.readmodel import freshness, positions, record
from services.readmodel.keys import Keys
from services.readmodel.positions import LIFECYCLE, LINKS, TIMELINE
from services.readmodel.writer import TopicBatch
from services.streaming.meta import META_KEY, Applied, decode

_NO_POSITIONS: Positions = (0,) * topics.PARTITIONS
_TOPIC_ID, _FILTER = bytes(16), bytes(16)


def _read_alerts(broker: Broker, at: Positions, limit: int) -> AlertBatch:
    items: list[AlertItem] = []
    reached = list(at)
    for partition in range(PARTITIONS):
        records, reached[partition] = broker.log(TOPICS.alerts, partition).read(
            at[partition], limit
        )
        for each in records:
            alert = AlertRecord.FromString(each.value or b"")
            items.append(AlertItem(partition, each.offset, each.append_time_ms, alert))
    return AlertBatch(tuple(items), tuple(reached))


class Subscriber:
    """One subscriber: reads alone until he reaches the tail, follows it, breaks off, resumes."""

    def __init__(self, broker: Broker, dice: random.Random) -> None:
        self.seen: list[AlertItem] = []
        self._broker = broker
        self._dice = dice
        self._signer = CursorSigner(b"k" * 32)
        self._cursor = self._signed(_NO_POSITIONS)
        self._tail = _NO_POSITIONS
        self._queue: QueuedSubscriber | None = None

    def step(self) -> None:
        """Take a message, or lose the connection with what was under way."""
        self._follow_tail()
        if self._dice.random() < 0.1:
            self._queue = None
        if self._queue is None:
            at = self._read_alone(self._dice.choice([1, 5]))
            if caught_up(at, self._tail):
                self._queue = QueuedSubscriber(_any, at, queue_messages_max=2)
        elif self._queue._queue or self._queue.behind:
            self._take_queued(self._queue)

    def settle(self) -> None:
        """Break off, resume, and read all that is there."""
        self._read_alone(1_000_000)

    def _read_alone(self, limit: int) -> Positions:
        at = self._signer.decode(self._cursor).positions
        batch = _read_alerts(self._broker, at, limit)
        self._take(select(batch, _any, at), batch.positions)
        return batch.positions

    def _follow_tail(self) -> None:
        """The shared tail reads on, whoever follows it."""
        batch = _read_alerts(self._broker, self._tail, self._dice.choice([1, 5]))
        self._tail = batch.positions
        if self._queue is not None and not self._queue.behind:
            self._queue.offer(batch)

    def _take_queued(self, queue: QueuedSubscriber) -> None:
        delivery = driven(queue.next(0))
        if delivery is not None:
            self._take(delivery.items, delivery.positions)
        else:
            self._take((), queue.positions)
            self._queue = None

    def _take(self, items: tuple[AlertItem, ...], reached: Positions) -> None:
        """The subscriber keeps records and cursor together."""
        self.seen.extend(items)
        self._cursor = self._signed(reached)

    def _signed(self, at: Positions) -> str:
        return self._signer.encode(Cursor(_TOPIC_ID, _FILTER, at))


def _any(_alert: object) -> bool:
    return True


class Projection:
    """Two projectors that write one read model; it is flushed now and then."""

    def __init__(self, broker: Broker, dice: random.Random) -> None:
        self.records: dict[str, bytes] = {}
        self.fields: dict[str, bytes] = {}
        self._broker = broker
        self._dice = dice
        self._keys = Keys("simulated")
        self._places = [(p, t) for p in range(PARTITIONS) for t in _KAFKA_TOPICS]
        self._projectors = [dict.fromkeys(self._places, 0) for _ in range(2)]

    def step(self) -> None:
        """One projector reads a little of one place and writes it."""
        if self._dice.random() < 0.01:
            self.records.clear()
            self.fields.clear()
        own = self._dice.choice(self._projectors)
        self._project(own, self._dice.choice(self._places), self._dice.choice([1, 4, 50]))
        self._check_freshness(self._dice.randrange(PARTITIONS))

    def settle(self) -> None:
        """Read everything to its end."""
        for place in self._places:
            for _ in range(3):
                self._project(self._projectors[0], place, 1_000_000)

    def _project(self, own: dict[tuple[int, str], int], place: tuple[int, str], limit: int) -> None:
        partition, topic = place
        log = self._broker.log(_KAFKA_TOPICS[topic], partition)
        read, reached = log.read(own[place], limit)
        batch = TopicBatch(partition, topic, own[place] or None, reached)
        for each in read:
            mapping.apply(self._keys, batch, each.offset, each.key, each.value)
        for key, value in batch.records.items():
            held = self.records.get(key)
            if held is None or record.decode(held).offset < record.decode(value).offset:
                self.records[key] = value
        field = positions.position_field(partition, topic)
        if int(self.fields.get(field, b"0")) != own[place]:
            own[place] = int(self.fields.get(field, b"0"))  # refused: go where the model is
            return
        self.fields[field] = str(reached).encode()
        if batch.meta is not None:
            self.fields[positions.meta_field(partition, topic)] = batch.meta
        own[place] = reached

    def _check_freshness(self, partition: int) -> None:
        """What is said to be contained is contained, in the state and on the timeline."""
        values = [self.fields.get(name) for name in positions.freshness_fields(partition)]
        told = freshness.reading(values)
        for source in TOPICS.families:
            claimed = freshness.of_topic(told, source).next_offset
            for topic in (LIFECYCLE, TIMELINE):
                reached = int(self.fields.get(positions.position_field(partition, topic), b"0"))
                there = self._applied(self._broker.log(_KAFKA_TOPICS[topic], partition), reached)
                held = there.get(source)
                assert claimed <= (0 if held is None else held.next_offset), (
                    f"{source}: said to be contained up to {claimed}, but {topic} is at {held}"
                )

    def _applied(self, log: Log, reached: int) -> Mapping[str, Applied]:
        """What the units say whose last record lies below an offset."""
        passed = [r for r in log.records if r.key == META_KEY and r.offset < reached]
        return decode(passed[-1].value or b"").applied if passed else {}


_KAFKA_TOPICS = {LIFECYCLE: CHANGELOG, TIMELINE: TOPICS.timeline, LINKS: TOPICS.links}
