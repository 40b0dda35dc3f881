"""Every process of the system on this machine, started in order and pointed at one another."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from market_supervision.control.v1.control_pb2 import BundleFile

from services.contracts.bundles import read_files
from services.contracts.families import FAMILIES
from services.contracts.topics import PARTITIONS
from services.control.publishing import Published, publish_bundle
from services.local.ports import remembered_ports
from services.local.supervisor import Child, ChildExit, RestartPolicy, Supervisor
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

LOOPBACK = "127.0.0.1"
LIFECYCLE = "lifecycle"
PROJECTION = "projection"
PROFILES = "profiles"
READY_SECONDS = 90.0
"""Longest wait for a service; a first start compiles and a busy machine is slow."""
FAMILY_NAMES = tuple(family.name for family in FAMILIES)


def _variable(service: str, field: str) -> str:
    return f"MARKET_SUPERVISION_{service.upper()}__{field}"


class Stack:
    """The services between a broker and a Redis that run already.

    ``directory`` must be owned by the caller (`owned_run_directory`); data, logs and pid files lie
    below it. Use as a context manager: leaving it ends every process.
    """

    def __init__(self, directory: Path, variables: Mapping[str, str]) -> None:
        """Describe the services; ``variables`` name broker and Redis. Nothing is started."""
        self._directory = directory.resolve()
        self._variables = dict(variables)
        self._supervisor = Supervisor(self._directory)
        self._names: list[str] = []
        self.ports: dict[str, int] = {}

    @property
    def kafka(self) -> str:
        """Addresses of the brokers."""
        return self._variables["KAFKA_BOOTSTRAP_SERVERS"]

    @property
    def redis(self) -> str:
        """URL of Redis."""
        return self._variables["REDIS_URL"]

    @property
    def status_file(self) -> Path:
        """What the stream worker shows of itself."""
        return self._directory / "lifecycle.status.json"

    @property
    def log_directory(self) -> Path:
        """Where each process writes its log."""
        return self._directory / "logs"

    def addresses(self) -> dict[str, str]:
        """Return where everything answers, by name; complete once `wait_ready` returned."""
        answering = {name: f"{LOOPBACK}:{port}" for name, port in self.ports.items()}
        return answering | {"kafka": self.kafka, "redis": self.redis}

    def prepare(self, files: Iterable[BundleFile] | None = None) -> Published:
        """Create the topics and publish the rules; ``files`` default to those of the repository.

        Does nothing that was done before. Raises what the two raise.
        """
        ensure_topics(self.kafka)
        wanted = read_files() if files is None else list(files)
        return asyncio.run(publish_bundle(self.kafka, wanted))

    def start(self) -> None:
        """Start every service; they come up side by side, on the ports of the run before."""
        self.ports = remembered_ports(self._directory / "ports.json", (*FAMILY_NAMES, PROFILES))
        for name in FAMILY_NAMES:
            index = self._directory / "data" / f"{name}-index"
            self._start_server(name, {_variable(name, "INDEX_DIRECTORY"): str(index)})
        self.status_file.unlink(missing_ok=True)
        self.start_lifecycle(LIFECYCLE, self.status_file)
        projection_ready = {_variable(PROJECTION, "READY_FILE"): str(self._ready_file(PROJECTION))}
        self._start_child(
            Child(
                PROJECTION,
                [sys.executable, "-m", "services.projection"],
                self._variables | projection_ready,
                restart=RestartPolicy(),
                ready_file=self._ready_file(PROJECTION),
            )
        )
        data = self._directory / "data" / PROFILES
        self._start_server(PROFILES, {_variable(PROFILES, "DATA_DIR"): str(data)})

    def start_lifecycle(self, name: str, status_file: Path) -> None:
        """Start a stream worker; several share the partitions."""
        own = {
            _variable(LIFECYCLE, "DATA_DIR"): str(self._directory / "data" / name),
            _variable(LIFECYCLE, "STATUS_FILE"): str(status_file),
        }
        # A worker ends itself whenever it is not sure; it is started again.
        command = [sys.executable, "-m", "services.lifecycle"]
        self._start_child(
            Child(name, command, self._variables | own, restart=RestartPolicy(restarts_max=20))
        )

    def _start_server(self, name: str, own: Mapping[str, str]) -> None:
        ready_file = self._ready_file(name)
        listening = {
            _variable(name, "SERVER__READY_FILE"): str(ready_file),
            _variable(name, "SERVER__PORT"): str(self.ports[name]),
        }
        self._start_child(
            Child(
                name,
                [sys.executable, "-m", f"services.{name}"],
                {**self._variables, **own, **listening},
                restart=RestartPolicy(),
                ready_file=ready_file,
            )
        )

    def _start_child(self, child: Child) -> None:
        self._supervisor.start(child)
        self._names.append(child.name)

    def _ready_file(self, name: str) -> Path:
        return self._directory / f"{name}.ready.json"

    def wait_ready(self) -> None:
        """Wait until every service works; StartError or TimeoutError name the one that does not."""
        for name in (*FAMILY_NAMES, PROFILES):
            self._supervisor.wait_ready(name, READY_SECONDS)
        self._wait_for(LIFECYCLE, self._stream_ready)
        self._wait_for(PROJECTION, self._ready_file(PROJECTION).exists)

    def _wait_for(self, name: str, condition: Callable[[], bool]) -> None:
        def ready() -> bool:
            self._supervisor.check()
            return condition()

        poll_until(ready, timeout_seconds=READY_SECONDS, what=f"{name} is ready")

    def _stream_ready(self) -> bool:
        partitions = read_status(self.status_file).get("partitions", {})
        return len(partitions) == PARTITIONS and all(p["ready"] for p in partitions.values())

    def check(self) -> list[ChildExit]:
        """Look after the processes; see `Supervisor.check`."""
        return self._supervisor.check()

    def stop(self) -> None:
        """End every process: the feeding side first, all at once within each side."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._supervisor.stop, reversed(self._names)))
        self._names.clear()

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        self.stop()


def read_status(file: Path) -> dict[str, Any]:
    """Return what a stream worker last wrote about itself; empty before its first word."""
    if not file.exists():
        return {}
    status: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return status
