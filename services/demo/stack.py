"""Every process of the system on this machine, started side by side and ended together."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.contracts.bundles import read_files
from services.contracts.topics import PARTITIONS
from services.control.publishing import Published, publish_bundle
from services.local.ports import remembered_ports
from services.local.supervisor import ChildExit
from services.local.system import INTAKES, READY_SECONDS_MAX, LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

WORKER = "lifecycle-0"
PROJECTION = "projection"
SERVERS = (*INTAKES, "profiles")
NAMES = (*SERVERS, PROJECTION, WORKER)


class Stack:
    """The services between a broker and a Redis that run already.

    ``directory`` must be owned by the caller (`owned_run_directory`); data, logs and pid files lie
    below it. Use as a context manager: leaving it ends every process.
    """

    def __init__(self, directory: Path, kafka: str, redis: str) -> None:
        """Describe the services; nothing is started."""
        self._directory = directory.resolve()
        ports = remembered_ports(self._directory / "ports.json", SERVERS)
        # The ports of the run before: clients that wait find the servers again.
        chosen = {
            f"MARKET_SUPERVISION_{name.upper()}__SERVER__PORT": str(port)
            for name, port in ports.items()
        }
        self._system = LocalSystem(self._directory, kafka, redis, extra=chosen)
        self._addresses: dict[str, str] = {}
        self._started: list[str] = []

    @property
    def redis(self) -> str:
        """URL of Redis."""
        return self._system.redis_url

    @property
    def log_directory(self) -> Path:
        """Where each process writes its log."""
        return self._directory / "logs"

    def addresses(self) -> dict[str, str]:
        """Return where everything answers, by name; complete once `wait_ready` returned."""
        servers = {"kafka": self._system.kafka_bootstrap_servers, "redis": self.redis}
        return self._addresses | servers

    def create_topics(self) -> None:
        """Create the topics that are missing; TopicMismatchError when one is not as catalogued."""
        ensure_topics(self._system.kafka_bootstrap_servers)

    def publish_rules(self) -> Published:
        """Publish the repository's rules if they are not in force; the stream waits for them."""
        return asyncio.run(publish_bundle(self._system.kafka_bootstrap_servers, read_files()))

    def start(self) -> None:
        """Start every service; they come up side by side."""
        for name in NAMES:
            self._system.start(name)
            self._started.append(name)

    def wait_ready(self) -> None:
        """Wait until every service works.

        Raises ChildFailedError, StartError or TimeoutError with the name of one that does not.
        """
        self._addresses = self._system.wait_serving(SERVERS)
        self._wait_for(WORKER, self._stream_ready)
        self._wait_for(PROJECTION, (self._directory / f"{PROJECTION}.ready.json").exists)

    def _wait_for(self, name: str, condition: Callable[[], bool]) -> None:
        def ready() -> bool:
            self.check()
            return condition()

        poll_until(ready, timeout_seconds=READY_SECONDS_MAX, what=f"{name} is ready")

    def _stream_ready(self) -> bool:
        partitions = self.partitions()
        return len(partitions) == PARTITIONS and all(p["ready"] for p in partitions.values())

    def partitions(self) -> dict[str, Any]:
        """Return what the stream worker last told of each of its partitions; empty at first."""
        try:
            status = json.loads(self._system.status_file(WORKER).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        partitions: dict[str, Any] = status["partitions"]
        return partitions

    def check(self) -> list[ChildExit]:
        """Look after the processes; see `Supervisor.check`."""
        return self._system.supervisor.check()

    def stop(self) -> None:
        """End every process, all at once: each is made for any order of ends."""
        with ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(self._system.supervisor.stop, self._started))
        self._started.clear()

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process."""
        self.stop()
