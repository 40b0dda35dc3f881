"""What the rows of one run share: a directory, the servers, the logs; made when first asked for."""

import shutil
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from integration_tests.performance.foreign_load import FOREIGN_SHARE_MAX
from integration_tests.performance.kept import Kept
from integration_tests.performance.peer_fold import Load
from integration_tests.performance.peer_log import PeerLog, write_log
from services.local.kafka import LocalKafka
from services.local.redis import LocalRedis

Made = TypeVar("Made")
KAFKA_SECONDS_MAX = 300.0
"""A broker that finds the log of a run that was broken off looks through all of it first."""


@dataclass(slots=True)
class Session:
    """One run of the benchmark, which owns ``directory`` and everything started below it."""

    directory: Path
    part: int = 1
    """Above 1 only to see that rows work: this part of the load, one pair; figures mean nothing."""
    kept: Kept = field(default_factory=Kept)
    is_kept: bool = False
    """Whether the data stays for the next run."""
    foreign_max: float = FOREIGN_SHARE_MAX
    """Share of a processor that others may use while something is measured."""
    _stack: ExitStack = field(default_factory=ExitStack)
    _kafka: LocalKafka | None = None
    _redis: LocalRedis | None = None
    _made: dict[Hashable, object] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        """Address of the run's broker."""
        if self._kafka is None:
            kafka = LocalKafka(self.directory / "kafka")
            self._stack.callback(kafka.stop)
            kafka.start(KAFKA_SECONDS_MAX)
            self._kafka = kafka
        return self._kafka.bootstrap_servers

    @property
    def kafka_pid(self) -> int:
        """Process number of the run's broker."""
        assert self._kafka is not None, "the broker is started when its address is asked for"
        return self._kafka.pid

    @property
    def redis_url(self) -> str:
        """URL of the run's Redis."""
        if self._redis is None:
            self._redis = self._stack.enter_context(LocalRedis(self.directory / "redis"))
        return self._redis.url

    def scaled(self, amount: int) -> int:
        """Return the amount of a load, smaller in a quick run."""
        return amount // self.part

    def peer_log(self, load: Load) -> PeerLog:
        """The log of a load, written once."""
        load = replace(load, events=self.scaled(load.events))
        made = self.kept.once(str(load), lambda: asdict(write_log(self.bootstrap, load)))
        # The address is the one of this run's broker, whoever wrote the log.
        return PeerLog(**made | {"bootstrap": self.bootstrap})

    def once(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """Return what ``make`` made when first asked for under this name."""
        if name not in self._made:
            self._made[name] = make()
        return cast("Made", self._made[name])

    def has(self, name: Hashable) -> bool:
        """Whether something was made under this name."""
        return name in self._made

    def __enter__(self) -> Self:
        """Begin with nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers and remove their data, unless it is kept."""
        self._stack.close()
        if not self.is_kept:
            shutil.rmtree(self.directory, ignore_errors=True)
