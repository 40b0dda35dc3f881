"""The load of a round: clients, subscribers and queriers in one loop beside the nemesis."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from integration_tests.nemesis.readers import (
    FILTERS,
    ForgetfulSubscriber,
    Querier,
    Subscriber,
    subscribers,
)
from integration_tests.nemesis.stage import Stage
from integration_tests.nemesis.submissions import Item
from integration_tests.nemesis.submitters import CLIENTS_A_FAMILY, FamilyClient, Tally, clients
from services.local.waiting import poll_until

RESTLESS_SECONDS = 0.15
SETTLE_SECONDS = 120.0
"""After the last fault every client is to be told what became of its events within this."""


@dataclass(frozen=True, slots=True)
class LoadShape:
    """How much is asked of the system."""

    events: int = 1_500
    """Events submitted, apart from what is sent again."""
    rate: float = 120.0
    """Events a second, while the intakes keep up."""
    subscribers: int = 3
    queriers: int = 2
    query_pause_s: float = 0.1
    """Mean time between two queries of one querier."""
    restless: bool = False
    """Subscribers cut their own connections every moment."""
    forgetful: bool = False
    """One further subscriber keeps only every third cursor, and drops what comes twice."""
    late_share: float = 0.0
    """Share of the events that come last of all, up to two years after they happened."""
    untold_share: float = 0.0
    """Share of the events that are never told."""
    hot_share: float = 0.0
    """Share of the events that are about one entity."""
    deadly: tuple[str, ...] = ()
    """Source records that a planted bug in the worker stumbles over."""


class Load(threading.Thread):
    """Runs until told to stop; what it saw stands in its files and tallies."""

    def __init__(
        self, stage: Stage, items: Sequence[Item], shape: LoadShape, seed: int, directory: Path
    ) -> None:
        super().__init__(name="load", daemon=True)
        directory.mkdir(parents=True, exist_ok=True)
        self.history = directory / "history.jsonl"
        self.answers = directory / "answers.jsonl"
        self.tally = Tally()
        pause = RESTLESS_SECONDS if shape.restless else 0.0
        self.subscribers = subscribers(stage, directory, shape.subscribers, pause, seed)
        if shape.forgetful:
            self.subscribers.append(ForgetfulSubscriber(stage, "forgetful", FILTERS[0], None))
        self.queriers = [
            Querier(stage, self.tally, seed, f"q{n}", self.answers, shape.query_pause_s)
            for n in range(shape.queriers)
        ]
        self.fed = 0
        """Events given to the clients."""
        self._stage, self._items, self._shape, self._seed = stage, items, shape, seed
        self._clients: list[FamilyClient] = clients(stage, self.history, self.tally, seed)
        self._ended = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Run the loop."""
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001  raised again where the round waits
            self._failure = error

    async def _run(self) -> None:
        workers = [self._feed(), *(each.run() for each in self._clients)]
        workers += [each.run() for each in self.subscribers]
        workers += [each.run() for each in self.queriers]
        tasks = [asyncio.create_task(worker) for worker in workers]
        try:
            while not self._ended.is_set():
                await asyncio.sleep(0.05)
                for task in tasks:
                    if task.done() and (error := task.exception()) is not None:
                        raise error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self) -> None:
        began = time.monotonic()
        for number, item in enumerate(self._items):
            self._client_of(item).queue.append(item)
            self.fed = number + 1
            await asyncio.sleep(max(0.0, began + number / self._shape.rate - time.monotonic()))

    def send_again(self) -> None:
        """Have everything that was acknowledged sent once more; the receipts must be the same."""
        for item in list(self.tally.acknowledged):
            self._client_of(item).queue.append(item)

    def _client_of(self, item: Item) -> FamilyClient:
        """Return the client of an entity: what is said of it is said by one client, in order."""
        own = [client for client in self._clients if client.family == item.family]
        return own[hash_of(item.entity) % CLIENTS_A_FAMILY]

    @property
    def settled(self) -> bool:
        """Whether everything is submitted and every outcome known."""
        return self.fed == len(self._items) and all(client.idle for client in self._clients)

    def check(self) -> None:
        """Raise what ended the loop."""
        if self._failure is not None:
            raise self._failure

    def wait_settled(self) -> None:
        """Wait until every client knows what became of its events."""
        self._wait(lambda: self.settled, "every event has a known outcome")

    def wait_delivered(self, wanted: Callable[[Subscriber], bool]) -> None:
        """Wait until every subscriber has what it is to have."""
        self._wait(lambda: all(map(wanted, self.subscribers)), "every subscriber has its alerts")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def met() -> bool:
            self.check()
            self._stage.check()
            return condition()

        poll_until(met, timeout_seconds=SETTLE_SECONDS, what=what, interval_seconds=0.2)

    def stop(self) -> None:
        """Stop everything and close the files."""
        self._ended.set()
        self.join(60)
        self.check()

    @property
    def violations(self) -> list[str]:
        """What somebody was told that nobody must be told."""
        found = list(self.tally.violations)
        found += [text for each in self.subscribers for text in each.violations]
        found += [text for each in self.queriers for text in each.violations]
        return found


def hash_of(text: str) -> int:
    """Return a number that depends on the text alone."""
    return sum(text.encode())
