"""Watches over a log in memory: every interleaving must be whole."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence

import pytest
from market_supervision.alerts.v1.alert_pb2 import Alert, AlertRecord

from services.contracts.topics import PARTITIONS
from services.profiles.alert_log import AlertBatch, AlertItem
from services.profiles.cursor import Positions
from services.profiles.settings import WatchSettings
from services.profiles.watch_hub import Subscriber, WatchHub
from services.profiles.watch_session import WatchSession
from services.runtime.errors import NotReadyError

START: Positions = (0,) * PARTITIONS


class MemoryLog:
    """A log that grows; readers take a few records at a time, from any partition first."""

    def __init__(self, seed: int) -> None:
        self.partitions: list[list[int]] = [[] for _ in range(PARTITIONS)]
        self.opened = 0
        self._random = random.Random(seed)

    def append(self, number: int) -> None:
        """Write a number to its partition."""
        self.partitions[number % 5].append(number)

    def ends(self) -> Positions:
        """Return the positions behind the last record."""
        return tuple(len(partition) for partition in self.partitions)

    async def open(self, positions: Positions) -> "MemoryReader":
        """Return a reader that begins there."""
        self.opened += 1
        return MemoryReader(self, positions, self._random)


class MemoryReader:
    """Reads a MemoryLog."""

    def __init__(self, log: MemoryLog, positions: Positions, dice: random.Random) -> None:
        self._log = log
        self._positions = list(positions)
        self._random = dice

    async def poll(self) -> AlertBatch:
        """Return a few records of each partition, in any order of partitions."""
        await asyncio.sleep(0.0005)
        items = []
        for partition in self._random.sample(range(PARTITIONS), PARTITIONS):
            at = self._positions[partition]
            for number in self._log.partitions[partition][at : at + self._random.randint(0, 3)]:
                record = AlertRecord(alert=Alert(alert_id=str(number)))
                items.append(AlertItem(partition, self._positions[partition], number, record))
                self._positions[partition] += 1
        return AlertBatch(tuple(items), tuple(self._positions))

    async def stop(self) -> None:
        """Take as long as a connection does."""
        await asyncio.sleep(0)


class Collector:
    """A subscriber who is slow now and then."""

    def __init__(self, seed: int, pause_seconds: float) -> None:
        self.numbers: list[int] = []
        self.positions = START
        self._random = random.Random(seed)
        self._pause_seconds = pause_seconds

    async def send(self, items: Sequence[AlertItem], positions: Positions) -> None:
        """Take a message, sooner or later."""
        if self._pause_seconds and self._random.random() < 0.2:
            await asyncio.sleep(self._pause_seconds)
        self.numbers += [int(item.record.alert.alert_id) for item in items]
        assert all(new >= old for new, old in zip(positions, self.positions, strict=True))
        self.positions = positions


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a condition over several tasks has no event
            await asyncio.sleep(0.005)


def _even(alert: Alert) -> bool:
    return int(alert.alert_id) % 2 == 0


SETTINGS = WatchSettings(checkpoint_seconds=0.01, queue_messages_max=2, readers_max=2)


@pytest.mark.parametrize("seed", range(5))
async def test_watches_of_every_pace_get_each_match_once_in_order(seed: int) -> None:
    """Joining, falling behind, catching up and resuming by positions leave no gap, no repeat."""
    log = MemoryLog(seed)
    for number in range(200):
        log.append(number)
    tail = await log.open(log.ends())
    hub = WatchHub(tail, log.ends())
    slots = asyncio.Semaphore(SETTINGS.readers_max)
    collectors = [Collector(seed + n, 0.003 * (n % 3)) for n in range(9)]

    def start(collector: Collector) -> "asyncio.Task[None]":
        session = WatchSession(
            hub, log, slots, SETTINGS,
            matches=_even, positions=collector.positions, send=collector.send,
        )  # fmt: skip
        return asyncio.create_task(session.run())

    running = asyncio.create_task(hub.run())
    watches = [start(collector) for collector in collectors]
    for number in range(200, 1_000):
        log.append(number)
        if number % 25 == 0:
            await asyncio.sleep(0.001)
        if number == 600:
            # Cut in the middle of anything: the cursor of the last message is all that is left.
            watches[0].cancel()
            await asyncio.gather(watches[0], return_exceptions=True)
            watches[0] = start(collectors[0])
    await _until(lambda: all(len(collector.numbers) >= 500 for collector in collectors))
    assert not any(watch.done() for watch in watches)
    for task in (running, *watches):
        task.cancel()
    await asyncio.gather(running, *watches, return_exceptions=True)

    for collector in collectors:
        assert sorted(collector.numbers) == list(range(0, 1_000, 2))
        for partition in range(5):
            mine = [number for number in collector.numbers if number % 5 == partition]
            assert mine == sorted(mine)


async def test_subscriber_whose_queue_is_full_falls_behind_at_what_he_has() -> None:
    """The positions he goes on from are those after the last delivery he will still get."""
    log = MemoryLog(1)
    subscriber = Subscriber(_even, START, queue_messages_max=1)
    item = AlertItem(0, 0, 0, AlertRecord(alert=Alert(alert_id="2")))
    second = AlertItem(0, 1, 0, AlertRecord(alert=Alert(alert_id="4")))
    odd = AlertItem(0, 1, 0, AlertRecord(alert=Alert(alert_id="3")))

    subscriber.offer(AlertBatch((item,), (1, *START[1:])))
    subscriber.offer(AlertBatch((odd,), (2, *START[1:])))
    assert (subscriber.behind, subscriber.positions[0]) == (False, 2)
    subscriber.offer(AlertBatch((second._replace(offset=2),), (3, *START[1:])))

    assert (subscriber.behind, subscriber.positions[0]) == (True, 2)
    assert subscriber.positions[0] == 2
    delivery = await subscriber.next(1)
    assert delivery is not None
    assert delivery.positions[0] == 1
    assert await subscriber.next(1) is None
    assert log.ends() == START


async def test_watch_without_alerts_reports_progress() -> None:
    """Records that do not match move the cursor all the same."""
    log = MemoryLog(1)
    hub = WatchHub(await log.open(START), START)
    collector = Collector(1, 0)
    session = WatchSession(
        hub, log, asyncio.Semaphore(1), SETTINGS,
        matches=lambda _: False, positions=START, send=collector.send,
    )  # fmt: skip
    tasks = [asyncio.create_task(hub.run()), asyncio.create_task(session.run())]
    for number in range(50):
        log.append(number)
    await _until(lambda: collector.positions == log.ends())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert collector.numbers == []


async def test_watch_waiting_for_a_reader_still_reports() -> None:
    """Who waits for his turn to read the past hears that he is not forgotten."""
    log = MemoryLog(1)
    log.append(0)
    hub = WatchHub(await log.open(log.ends()), log.ends())
    slots = asyncio.Semaphore(1)
    await slots.acquire()
    messages: list[Positions] = []

    async def send(_items: Sequence[AlertItem], positions: Positions) -> None:
        messages.append(positions)

    session = WatchSession(hub, log, slots, SETTINGS, matches=_even, positions=START, send=send)
    watch = asyncio.create_task(session.run())
    await _until(lambda: len(messages) >= 4)
    assert set(messages) == {START}
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    slots.release()

    # The one who gave up waiting took no turn with him.
    async with asyncio.timeout(1):
        await slots.acquire()


async def test_watch_ends_with_unavailable_when_the_server_stops() -> None:
    """An orderly stop tells every subscriber to resume."""
    log = MemoryLog(1)
    hub = WatchHub(await log.open(START), START)
    settings = SETTINGS.model_copy(update={"checkpoint_seconds": 10.0})
    session = WatchSession(
        hub, log, asyncio.Semaphore(1), settings,
        matches=_even, positions=START, send=Collector(1, 0).send,
    )  # fmt: skip
    watch = asyncio.create_task(session.run())
    await asyncio.sleep(0.01)
    hub.close()

    async with asyncio.timeout(1):
        with pytest.raises(NotReadyError):
            await watch


async def test_watch_that_fell_behind_goes_on_where_its_queue_ended() -> None:
    """What the tail passed while nobody listened is read from the log, once."""
    log = MemoryLog(1)
    hub = WatchHub(await log.open(START), START)
    taken: list[int] = []
    listening = asyncio.Event()
    reached = asyncio.Event()

    async def send(items: Sequence[AlertItem], _positions: Positions) -> None:
        if items:
            reached.set()
            await listening.wait()
        taken.extend(int(item.record.alert.alert_id) for item in items)

    session = WatchSession(
        hub, log, asyncio.Semaphore(1), SETTINGS, matches=_even, positions=START, send=send
    )
    tasks = [asyncio.create_task(session.run()), asyncio.create_task(hub.run())]
    opened_before = log.opened
    log.append(0)
    await asyncio.wait_for(reached.wait(), 10)
    for number in range(1, 100):
        log.append(number)
    await _until(lambda: hub.positions == log.ends())
    listening.set()
    await _until(lambda: len(taken) >= 50)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert sorted(taken) == list(range(0, 100, 2))
    assert log.opened > opened_before


async def test_subscriber_ahead_of_the_tail_gets_nothing_twice() -> None:
    """Who read further than the tail before he joined it skips what he has."""
    ahead = (2, *START[1:])
    subscriber = Subscriber(lambda _: True, ahead, queue_messages_max=9)
    items = [AlertItem(0, n, 0, AlertRecord(alert=Alert(alert_id=str(n)))) for n in range(4)]
    subscriber.offer(AlertBatch(tuple(items[:1]), (1, *START[1:])))
    assert subscriber.positions == ahead
    subscriber.offer(AlertBatch(tuple(items[1:]), (4, *START[1:])))

    delivery = await subscriber.next(1)
    assert delivery is not None
    assert [item.offset for item in delivery.items] == [2, 3]
    assert delivery.positions[0] == 4


async def test_record_offered_as_the_time_is_up_is_delivered_before_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None means that everything up to the positions is delivered: a checkpoint relies on it."""
    subscriber = Subscriber(lambda _: True, START, queue_messages_max=9)
    item = AlertItem(0, 0, 0, AlertRecord(alert=Alert(alert_id="7")))

    async def offered_too_late(waiting: Coroutine[object, object, object], _: float) -> None:
        waiting.close()
        subscriber.offer(AlertBatch((item,), (1, *START[1:])))
        raise TimeoutError

    monkeypatch.setattr("services.profiles.watch_hub.asyncio.wait_for", offered_too_late)
    delivery = await subscriber.next(0.01)

    assert delivery is not None
    assert delivery.items == (item,)
    assert delivery.positions == subscriber.positions


async def test_slow_subscriber_gives_his_reader_back_while_he_is_waited_for() -> None:
    """One who takes nothing must not keep others from reading the past."""
    log = MemoryLog(1)
    for number in range(0, 40, 2):
        log.append(number)
    hub = WatchHub(await log.open(log.ends()), log.ends())
    slots = asyncio.Semaphore(1)
    settings = SETTINGS.model_copy(update={"reader_turn_seconds": 0.02})
    listening = asyncio.Event()
    slow, quick = Collector(1, 0), Collector(2, 0)

    async def send_slowly(items: Sequence[AlertItem], positions: Positions) -> None:
        if items:
            await listening.wait()
        await slow.send(items, positions)

    sends = (send_slowly, quick.send)
    watches = []
    for send in sends:
        session = WatchSession(hub, log, slots, settings, matches=_even, positions=START, send=send)
        watches.append(asyncio.create_task(session.run()))
        await asyncio.sleep(0.01)
    await _until(lambda: len(quick.numbers) == 20)
    assert slow.numbers == []
    listening.set()
    await _until(lambda: len(slow.numbers) == 20)
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)

    assert sorted(slow.numbers) == sorted(quick.numbers) == list(range(0, 40, 2))
