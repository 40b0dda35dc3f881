"""One simulated world: a seed decides what is sent, when, and everything that goes wrong."""

import random
from collections import Counter as Multiset
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache

from market_supervision.control.v1.control_pb2 import BundleFile, ControlRecord

from integration_tests.simulation.broker import ENGINE_TOPICS, PARTITIONS, Broker
from integration_tests.simulation.history import HISTORY_DAYS, LATE_DAYS_MAX, history
from integration_tests.simulation.intake import Intakes
from integration_tests.simulation.limits import small_limits
from integration_tests.simulation.readers import Projection, Subscriber
from integration_tests.simulation.store import LocalStore
from integration_tests.simulation.worker import CRASHES, Crash, Owner, clock_of
from services.contracts.bundles import build_bundle, overridden, read_files
from services.lifecycle.tests.step_rig import moment_of
from services.streaming.exits import EngineError, ExitCode

WORKERS = 2
STEPS_MAX = 20_000
FINAL_DAY = HISTORY_DAYS + 24
"""The day on which all is quiet: everything was sent, and every topic is read to its end."""
FINAL_MS = moment_of(FINAL_DAY - 0.4)
"""The night of that day."""

PATIENT_DAYS = 700
BUNDLE_KEY = b"bundle"
_HOUR_MS = 3_600_000
_PACES_MS = (0, 0.3, 1, 1_000, _HOUR_MS, 6 * _HOUR_MS, 24 * _HOUR_MS)


class World:
    """Everything that exists under one seed. `run` lets it happen.

    Run and look at it under ``limits`` (`limits.applied`): a fold in one go has the same ones.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.broker = Broker(self.dice, moment_of(-1))
        self.intakes = Intakes(self.broker, self.dice, history(self.dice))
        self.subscribers = [Subscriber(self.broker, self.dice) for _ in range(2)]
        self.projection = Projection(self.broker, self.dice)
        self.patient = self.dice.random() < 0.7
        """Whether its rules find no fact too old: then what is open does not depend on delays."""
        self.bundles = 0
        self.happened: Multiset[str] = Multiset()
        self._stores = [[LocalStore() for _ in range(PARTITIONS)] for _ in range(WORKERS)]
        self._owners: dict[int, Owner] = {}
        self._zombies: list[Owner] = []
        self._held_back: set[tuple[int, str]] = set()
        self._actions = self._profile()
        self.limits = small_limits(self.dice)

    def run(self) -> None:
        """Let everything happen, then let it come to rest."""
        with clock_of(self.broker, self.dice):
            if self.dice.random() < 0.8:
                self._publish_rules()
            names, weights = list(self._actions), list(self._actions.values())
            for _ in range(STEPS_MAX):
                action = self.dice.choices(names, weights)[0]
                self.happened[action.__name__[1:]] += 1
                action(self)
                if self.broker.now_ms >= moment_of(HISTORY_DAYS + LATE_DAYS_MAX + 4):
                    break
            self._settle()

    def _profile(self) -> dict[Callable[["World"], None], float]:
        """How often each thing happens in this world: each world has troubles of its own."""
        rare = self.dice.choice([0.0, 0.2, 1.0, 3.0])
        return {
            World._time_passes: 6.0,
            World._submit: 4.0,
            World._move: 1.0,
            World._fetch: 12.0,
            World._ask_end: 12.0,
            World._work: 6.0,
            World._hold_back: self.dice.choice([0.0, 0.3, 1.0]),
            World._let_go: 0.4,
            World._crash: rare * self.dice.random(),
            World._rebalance: rare * self.dice.random(),
            World._wake: rare,
            World._lose_store: rare * 0.2,
            World._read: 5.0,
            World._publish_rules: self.dice.choice([0.0, 0.0, 0.02]),
        }

    def _time_passes(self) -> None:
        self.broker.wait(self.dice.choice(_PACES_MS))

    def _submit(self) -> None:
        self.intakes.submit(self.dice.choice([1, 5, 50]))

    def _move(self) -> None:
        self.intakes.move()

    def _publish_rules(self) -> None:
        """Write a bundle to every partition; a later one holds from a minute ahead."""
        self.bundles += 1
        now = datetime.fromtimestamp(self.broker.now_ms / 1_000, UTC)
        holds_from = now + timedelta(seconds=self.dice.randint(60, 86_400))
        rules = _rules(patient=self.patient, changed=self.bundles % 2 == 0)
        bundle = build_bundle(rules, self.bundles, holds_from)
        value = ControlRecord(rule_bundle=bundle).SerializeToString(deterministic=True)
        for number in range(PARTITIONS):
            log = self.broker.log(ENGINE_TOPICS.control, number)
            log.append(self.broker.now_ms, BUNDLE_KEY, value)

    def _owner(self) -> Owner:
        number = self.dice.randrange(PARTITIONS)
        if number not in self._owners:
            self._assign(number)
        return self._owners[number]

    def _assign(self, number: int) -> None:
        store = self.dice.choice(self._stores)[number]
        compacted = self.dice.random() < 0.5
        self._zombies = [zombie for zombie in self._zombies if zombie.store is not store]
        self._owners[number] = Owner(self.broker, number, store, compacted=compacted)

    def _fetch(self) -> None:
        owner, topic = self._owner(), self.dice.choice(ENGINE_TOPICS.sources)
        if (owner.number, topic) not in self._held_back:
            owner.fetch(topic, self.dice.choice([1, 3, 100]))

    def _ask_end(self) -> None:
        owner, topic = self._owner(), self.dice.choice(ENGINE_TOPICS.sources)
        if (owner.number, topic) not in self._held_back:
            owner.ask_end(topic)

    def _work(self) -> None:
        self._owner().work()

    def _hold_back(self) -> None:
        """Let one topic's fetches stand still in a partition, as a slow broker would."""
        topic = self.dice.choice(ENGINE_TOPICS.sources)
        self._held_back.add((self.dice.randrange(PARTITIONS), topic))

    def _let_go(self) -> None:
        self._held_back.clear()

    def _crash(self) -> None:
        """Kill a worker at one of the places where it hurts, or between units."""
        owner = self._owner()
        with suppress(Crash):
            owner.work(self.dice.choice(CRASHES))
        del self._owners[owner.number]

    def _rebalance(self) -> None:
        """Give a partition to somebody else while the one who has it does not notice."""
        owner = self._owner()
        others = [stores[owner.number] for stores in self._stores]
        other = next(store for store in others if store is not owner.store)
        self._zombies.append(owner)
        self._owners[owner.number] = Owner(self.broker, owner.number, other)

    def _wake(self) -> None:
        """Let one that was taken for dead go on: it must find itself fenced."""
        if not self._zombies:
            return
        zombie = self._zombies.pop(self.dice.randrange(len(self._zombies)))
        for topic in ENGINE_TOPICS.sources:
            zombie.fetch(topic, 100)
            zombie.ask_end(topic)
        try:
            zombie.work()
        except EngineError as error:
            if error.code is not ExitCode.FENCED:
                raise

    def _lose_store(self) -> None:
        """A worker dies and its disk with it."""
        owner = self._owner()
        del self._owners[owner.number]
        for stores in self._stores:
            if stores[owner.number] is owner.store:
                stores[owner.number] = LocalStore()

    def _read(self) -> None:
        readers: list[Subscriber | Projection] = [*self.subscribers, self.projection]
        self.dice.choice(readers).step()

    def _settle(self) -> None:
        """Let everything come to rest: send the rest, read all topics to their ends, tick once."""
        if not self.bundles:
            self._publish_rules()
        while not self.intakes.idle or self.intakes.move():
            self.intakes.submit(1_000)
        self._held_back.clear()
        for number in range(PARTITIONS):
            if number not in self._owners:
                self._assign(number)
            self._drain(self._owners[number])
        self.broker.wait(FINAL_MS - self.broker.now_ms)
        for owner in self._owners.values():
            self._drain(owner)
        for subscriber in self.subscribers:
            subscriber.settle()
        self.projection.settle()

    def _drain(self, owner: Owner) -> None:
        """Read all topics to their ends, and from the final day on also a tick of that day."""
        for _ in range(1_000):
            self.broker.wait(1)
            for topic in ENGINE_TOPICS.sources:
                owner.fetch(topic, 1_000)
            for topic in ENGINE_TOPICS.sources:
                self.broker.wait(1)
                owner.ask_end(topic)
            owner.work()
            control = self.broker.log(ENGINE_TOPICS.control, owner.number)
            ticked = control.records[-1].append_time_ms >= FINAL_MS
            if owner.lag() == 0 and (ticked or self.broker.now_ms < FINAL_MS):
                return
        raise AssertionError(f"partition {owner.number} does not come to rest: {owner.lag()}")


@cache
def _rules(*, patient: bool, changed: bool) -> tuple[BundleFile, ...]:
    """The rules of deploy/config; patient ones find no fact too old, changed ones wait for less."""
    files = overridden(read_files(), {"max_age_days": PATIENT_DAYS}) if patient else read_files()
    if changed:
        files = [
            BundleFile(path=file.path, content=file.content.replace(b"days: -30", b"days: -20"))
            for file in files
        ]
    return tuple(files)
