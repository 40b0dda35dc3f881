"""A broker and the four intakes for one import, when no system is running (自带服务)."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.contracts.families import FAMILIES
from services.importing.endpoints import Endpoints
from services.local.environment import KAFKA_VARIABLE
from services.local.kafka import LocalKafka
from services.local.process import ManagedProcess
from services.local.run_directory import owned_run_directory
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

READY_SECONDS_MAX: Final = 90.0


class OwnIntake:
    """One intake process of a family."""

    def __init__(self, family: str, directory: Path, bootstrap_servers: str) -> None:
        self._family = family
        self._ready_file = directory / f"{family}.ready.json"
        self.log_file = directory / f"{family}.log"
        prefix = f"MARKET_SUPERVISION_{family.upper()}__"
        self.process = ManagedProcess(
            family,
            [sys.executable, "-m", f"services.{family}"],
            run_directory=directory,
            log_file=self.log_file,
            environment={
                KAFKA_VARIABLE: bootstrap_servers,
                f"{prefix}INDEX_DIRECTORY": str(directory / f"{family}.index"),
                f"{prefix}SERVER__READY_FILE": str(self._ready_file),
            },
        )

    def start(self) -> None:
        """Start it; `address` waits for it."""
        self._ready_file.unlink(missing_ok=True)
        self.process.start()

    def address(self) -> str:
        """Return its address once it serves; raise TimeoutError or RuntimeError if it does not."""
        poll_until(self._serves, timeout_seconds=READY_SECONDS_MAX, what=f"{self.log_file} serving")
        return self._address()

    def _address(self) -> str:
        document = json.loads(self._ready_file.read_text(encoding="utf-8"))
        return f"{document['host']}:{document['port']}"

    def _serves(self) -> bool:
        if not self.process.running():
            raise RuntimeError(f"the intake ended: {self.log_file.read_text(encoding='utf-8')}")
        if not self._ready_file.exists():
            return False
        with grpc.insecure_channel(self._address()) as channel, suppress(grpc.RpcError):
            check = health_pb2_grpc.HealthStub(channel).Check
            answer = check(health_pb2.HealthCheckRequest(), timeout=2)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False


@contextmanager
def own_intakes(directory: Path, bootstrap_servers: str) -> Iterator[Endpoints]:
    """Run the four intakes on a broker for the time of a block."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        intakes = {
            family.name: OwnIntake(family.name, directory, bootstrap_servers) for family in FAMILIES
        }
        for intake in intakes.values():
            stack.callback(intake.process.stop)
            intake.start()
        addresses = {name: intake.address() for name, intake in intakes.items()}
        yield Endpoints({**addresses, "kafka": bootstrap_servers}, str(directory))


@contextmanager
def own_services(directory: Path) -> Iterator[Endpoints]:
    """Run a broker with all topics and the four intakes for the time of a block.

    KAFKA_BOOTSTRAP_SERVERS set: that cluster is used, and its topics are made if missing.
    """
    with owned_run_directory(directory), ExitStack() as stack:
        bootstrap_servers = os.environ.get(KAFKA_VARIABLE, "")
        if not bootstrap_servers:
            kafka = stack.enter_context(LocalKafka(directory / "kafka"))
            bootstrap_servers = kafka.bootstrap_servers
        ensure_topics(bootstrap_servers)
        yield stack.enter_context(own_intakes(directory, bootstrap_servers))
