"""The whole system as processes on one machine: who runs, with which environment (本机全系统).

One place for `make run`, the importer's own services and the integration tests. Services are named
by their command, not imported.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.contracts.families import FAMILIES
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.environment import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.health import answers_serving
from services.local.process import ManagedProcess
from services.local.run_directory import write_private
from services.local.supervisor import Child, RestartPolicy, Supervisor
from services.local.waiting import poll_until

INTAKES = tuple(family.name for family in FAMILIES)
ENDPOINTS_FILE = "endpoints.json"
READY_SECONDS_MAX = 90.0
WORKER_RESTARTS = RestartPolicy(restarts_max=10, window_seconds=120.0, delay_seconds=0.5)
"""A stream worker ends itself whenever it is not sure, and is to come back."""


@dataclass(slots=True)
class LocalSystem:
    """Commands, environments and addresses of the services, below one owned run directory.

    ``prefix`` separates topics, Redis keys and groups of systems that share servers (tests do).
    """

    run_directory: Path
    kafka_bootstrap_servers: str
    redis_url: str
    prefix: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables of every service."""
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        """Supervise nothing yet."""
        self.supervisor = Supervisor(self.run_directory)

    def child(self, name: str) -> Child:
        """The child of a name: a family, `lifecycle-<n>`, `projection` or `profiles`."""
        service = name.partition("-")[0]
        own = f"MARKET_SUPERVISION_{service.upper()}__"
        ready = self.run_directory / f"{name}.ready.json"
        data = str(self.run_directory / "data" / name)
        environment = {KAFKA_VARIABLE: self.kafka_bootstrap_servers, **self.extra}
        if self.prefix:
            environment[TOPIC_PREFIX_VARIABLE] = self.prefix
        namespace = self.prefix.strip(".").lower()
        restart: RestartPolicy | None = None
        ready_file: Path | None = ready
        if service in INTAKES:
            environment |= {f"{own}INDEX_DIRECTORY": data, f"{own}SERVER__READY_FILE": str(ready)}
            restart = RestartPolicy()
        elif service == "lifecycle":
            status = str(self.status_file(name))
            environment |= {f"{own}DATA_DIR": data, f"{own}STATUS_FILE": status}
            if namespace:
                environment[f"{own}APP_ID"] = f"{namespace}-lifecycle"
            restart, ready_file = WORKER_RESTARTS, None
        else:
            environment[REDIS_VARIABLE] = self.redis_url
            if namespace:
                environment[f"{own}NAMESPACE"] = namespace
            if service == "profiles":
                environment |= {f"{own}DATA_DIR": data, f"{own}SERVER__READY_FILE": str(ready)}
            else:
                environment[f"{own}READY_FILE"] = str(ready)
            restart = RestartPolicy()
        environment |= {
            f"{own}METRICS__PORT": "0",
            f"{own}METRICS__ADDRESS_FILE": str(self.metrics_file(name)),
        }
        command = [sys.executable, "-m", f"services.{service}"]
        return Child(name, command, environment, restart, ready_file)

    def status_file(self, worker: str) -> Path:
        """Where a lifecycle worker shows what it owns."""
        return self.run_directory / f"{worker}.status.json"

    def metrics_file(self, name: str) -> Path:
        """Where a process tells at which port it serves metrics and health."""
        return self.run_directory / f"{name}.metrics.json"

    def start(self, *names: str) -> None:
        """Start services without waiting for them."""
        for name in names:
            (self.run_directory / "data" / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            self.status_file(name).unlink(missing_ok=True)
            self.metrics_file(name).unlink(missing_ok=True)
            self.supervisor.start(self.child(name))

    def process(self, name: str) -> ManagedProcess:
        """The process of a started service."""
        return self.supervisor.process(name)

    def wait_serving(self, names: Sequence[str] = (*INTAKES, "profiles")) -> dict[str, str]:
        """Wait until gRPC services answer SERVING; return their addresses.

        A service that exits meanwhile comes back within its policy. Raises ChildFailedError,
        StartError or TimeoutError with the name of the one that does not serve.
        """
        return {
            name: poll_until(
                partial(self._serving_address, name),
                timeout_seconds=READY_SECONDS_MAX,
                what=f"{name} is serving",
            )
            for name in names
        }

    def _serving_address(self, name: str) -> str:
        """Return where a service serves, empty while it does not; it may come back elsewhere."""
        address = f"127.0.0.1:{self.supervisor.wait_ready(name, READY_SECONDS_MAX)}"
        return address if answers_serving(address) else ""

    def wait_worker(self, name: str = "lifecycle-0") -> None:
        """Wait until a lifecycle worker has recovered what it owns; see `wait_serving`."""

        def ready() -> bool:
            self.supervisor.check()
            return bool(self.worker_status(name).get("ready", False))

        poll_until(ready, timeout_seconds=READY_SECONDS_MAX, what=f"{name} is ready")

    def worker_status(self, name: str = "lifecycle-0") -> dict[str, object]:
        """What a lifecycle worker last showed; empty before it showed anything."""
        try:
            status: dict[str, object] = json.loads(self.status_file(name).read_text())
        except FileNotFoundError:
            return {}
        return status

    def write_endpoints(self, addresses: Mapping[str, str]) -> Path:
        """Write where everything listens, for `msctl`; return the file."""
        document = {
            **addresses,
            "kafka": self.kafka_bootstrap_servers,
            "redis": self.redis_url,
        }
        path = self.run_directory / ENDPOINTS_FILE
        write_private(path, json.dumps(document, indent=2) + "\n")
        return path

    def stop(self) -> dict[str, int | None]:
        """Stop everything, the last started first; return exit codes by name."""
        return self.supervisor.stop_all()
