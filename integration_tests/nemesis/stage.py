"""The system under test: every process of it real, and the keeper that brings the dead ones back.

A stage is the system of one round: topics under a prefix of its own, a run directory of its own.
The keeper is what a production supervisor is: it starts again whatever ends, at once and for ever,
and remembers each end with its code, so that the round can tell an expected end from a defect.
"""

import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from redis import Redis

from integration_tests.system.support import ALL_DAYS, publish_rules
from services.contracts import topics
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.errors import ChildFailedError
from services.local.health import answers_serving
from services.local.kafka import LocalKafka
from services.local.kafka_cluster import LocalKafkaCluster
from services.local.redis import LocalRedis
from services.local.supervisor import Child, ChildExit, RestartPolicy
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

KEEPER_SECONDS = 0.1
SESSION_SECONDS = "6"
"""The shortest a broker allows: a dead or stopped worker is replaced so much the sooner."""
CHECKPOINT_SECONDS = "1"
"""A subscriber soon knows that it has everything."""
RESTARTS = RestartPolicy(restarts_max=200, window_seconds=20.0, delay_seconds=0.1)
WORKERS = ("lifecycle-0", "lifecycle-1")
READERS = ("projection", "profiles")
SERVER_SECONDS = 240.0
"""A broker that was killed reads all its unflushed segments again."""
ROOT = Path(__file__).resolve().parent.parent.parent


class StagedSystem(LocalSystem):
    """A system whose processes come back at once, some of them behind a wrapper."""

    wrappers: Mapping[str, Sequence[str]] = {}
    """Child name → module with arguments that runs the service after meddling with it."""

    def child(self, name: str) -> Child:
        """The child of a name, wrapped where the round asks for it."""
        child = LocalSystem.child(self, name)
        command = list(child.command)
        wrapper = self.wrappers.get(name)
        if wrapper:
            command = [sys.executable, "-m", *wrapper, "--", *command[2:]]
        environment = {**child.environment, "PYTHONPATH": _python_path()}
        return replace(child, command=command, environment=environment, restart=RESTARTS)


def _python_path() -> str:
    given = os.environ.get("PYTHONPATH", "")
    return ":".join([str(ROOT), *(part for part in given.split(":") if part)])


@dataclass
class Stage:
    """One system on a broker and a Redis; used as a context, it ends everything it started."""

    directory: Path
    bootstrap: str
    redis: LocalRedis
    kafka: LocalKafka | None
    """The broker, where this round may kill it."""
    cluster: LocalKafkaCluster | None
    """The nodes, where this round has a cluster of its own."""
    prefix: str
    workers: tuple[str, ...] = WORKERS
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    exits: list[ChildExit] = field(default_factory=list)
    failure: BaseException | None = None
    """Why the keeper gave up."""
    history: Path = Path("history.jsonl")
    """Where what is put on a topic past the intakes is noted; the load's own history."""

    def __post_init__(self) -> None:
        """Describe the system; nothing is started."""
        extra = {
            "MARKET_SUPERVISION_LIFECYCLE__SESSION_SECONDS": SESSION_SECONDS,
            "MARKET_SUPERVISION_PROFILES__WATCH__CHECKPOINT_SECONDS": CHECKPOINT_SECONDS,
            **self.extra,
        }
        self.system = StagedSystem(
            self.directory, self.bootstrap, self.redis.url, self.prefix, extra
        )
        self.system.wrappers = self.wrappers
        self.lock = threading.RLock()
        self._down: set[str] = set()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Every service, in the order of starting."""
        return (*self.workers, *INTAKES, *READERS)

    def __enter__(self) -> Self:
        """Make the topics, publish the rules, start every service and wait until all serve."""
        os.environ[TOPIC_PREFIX_VARIABLE] = self.prefix
        ensure_topics(self.bootstrap)
        publish_rules(self.bootstrap, max_age_days=ALL_DAYS)
        self.system.start(*self.names)
        self._keeper.start()
        try:
            self.wait_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.close()

    def close(self) -> None:
        """Stop the keeper, then the services; a stopped (SIGSTOP) one is killed."""
        self._ended.set()
        self._keeper.join(60)
        self.system.stop()
        delete_topics(self.bootstrap)
        os.environ.pop(TOPIC_PREFIX_VARIABLE, None)

    def _keep(self) -> None:
        while not self._ended.wait(KEEPER_SECONDS):
            try:
                with self.lock:
                    self.exits += self.system.supervisor.check()
            except ChildFailedError as error:
                self.failure = error
                return

    def check(self) -> None:
        """Raise what ended the keeper."""
        if self.failure is not None:
            raise self.failure

    def endpoint(self, name: str) -> str:
        """Where a gRPC service listens now, empty while it does not; it may come back elsewhere."""
        try:
            port = json.loads((self.directory / f"{name}.ready.json").read_text())["port"]
        except (OSError, ValueError):
            return ""
        return f"127.0.0.1:{port}"

    def wait_whole(self, timeout_seconds: float = 180.0) -> None:
        """Wait until every worker is ready and every gRPC service answers SERVING."""

        def worker_ready(name: str) -> bool:
            self.check()
            status = self.system.worker_status(name)
            return bool(status.get("ready")) and status.get("pid") == self.pid(name)

        for name in self.workers:
            poll_until(
                lambda name=name: worker_ready(name),  # type: ignore[misc]
                timeout_seconds=timeout_seconds,
                what=f"{name} is ready",
            )
        served = (*INTAKES, "profiles")
        poll_until(
            lambda: all(self._serving(name) for name in served),
            timeout_seconds=timeout_seconds,
            what=f"{served} serve",
            interval_seconds=0.3,
        )

    def _serving(self, name: str) -> bool:
        self.check()
        address = self.endpoint(name)
        return bool(address) and answers_serving(address)

    def pid(self, name: str) -> int:
        """Process number of a service now."""
        with self.lock:
            return self.system.process(name).pid

    def take_down(self, name: str, *, grace: bool) -> int | None:
        """End a service and keep it down: by SIGTERM (with its exit code) or by SIGKILL."""
        with self.lock:
            self._down.add(name)
            if not grace:
                self.system.process(name).kill()
            return self.system.supervisor.stop(name)

    def bring_up(self, name: str) -> None:
        """Start a service that was taken down, or one that never ran."""
        with self.lock:
            self._down.discard(name)
            self.system.start(name)

    def all_down(self) -> None:
        """Kill every process at once, the servers too."""
        with self.lock:
            for name in self.names:
                if name not in self._down:
                    self.system.process(name).kill()
            self.redis.kill()
            if self.kafka is not None:
                self.kafka.kill()
            for name in self.names:
                if name not in self._down:
                    self._down.add(name)
                    self.system.supervisor.stop(name)

    def all_up(self, rng: random.Random) -> list[str]:
        """Start everything, servers among it, in a random order without waiting for anything."""
        order = [*self.names, "redis", *(["kafka"] if self.kafka is not None else [])]
        rng.shuffle(order)
        threads = []
        for name in order:
            if name in {"redis", "kafka"}:
                server = self.redis if name == "redis" else self.kafka
                assert server is not None
                # Starting a server waits until it answers: not here, where order is the test.
                thread = threading.Thread(target=server.start, args=(SERVER_SECONDS,))
                thread.start()
                threads.append(thread)
            else:
                self.bring_up(name)
            time.sleep(rng.uniform(0.0, 0.3))
        for thread in threads:
            thread.join(SERVER_SECONDS)
        return order

    def redis_client(self) -> Redis:
        """A client of the read model's server."""
        return Redis.from_url(self.redis.url)

    def delete_store(self, name: str) -> None:
        """Delete what a service that is down keeps on disk."""
        shutil.rmtree(self.directory / "data" / name, ignore_errors=True)


def delete_topics(bootstrap: str) -> None:
    """Delete the topics of the current prefix: a broker that is killed reads all it has again."""
    with suppress(KafkaError), KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        admin.delete_topics([topics.name(short) for short in topics.CATALOGUE])
