"""One real Apache Kafka node (KRaft) with its own data directory, ports and log."""

import base64
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from services.local.errors import StartError
from services.local.jars import class_path
from services.local.java import find_java
from services.local.ports import LOOPBACK, remembered_ports
from services.local.process import ManagedProcess, end_orphan

HEAP_MEBIBYTES = 512
START_TIMEOUT_SECONDS = 120.0
FORMAT_TIMEOUT_SECONDS = 60.0
STOP_GRACE_SECONDS = 20.0
READY_POLL_SECONDS = 0.1
METADATA_TIMEOUT_MS = 2_000
START_ATTEMPTS = 3
ONLY_NODE = 1

RECORD_BATCH_BYTES_MAX = 2 * 1024 * 1024
"""Room for a dead letter that wraps a source record of 1 MiB with its headers and reasons."""

LOG4J_CONFIGURATION = Path(__file__).with_name("log4j2.properties")

SETTINGS = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Topics come from the catalogue; a mistyped name must fail, not make a topic.
    "auto.create.topics.enable": "false",
    "num.partitions": "12",
    "message.max.bytes": str(RECORD_BATCH_BYTES_MAX),
    "replica.fetch.max.bytes": str(RECORD_BATCH_BYTES_MAX),
    # One node: everything internal has one replica, and few partitions start faster.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # The node is back 4 s after a kill -9; with the default of 9,000 it takes 14 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # A transaction left open by a crash holds back readers until this scan aborts it.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # The record is kept for ever unless a topic says otherwise.
    "log.retention.ms": "-1",
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
}


PORT_NAMES = ("client", "controller")


@dataclass(frozen=True, slots=True)
class Membership:
    """Which node of a cluster a node is, and what all nodes of it agree upon."""

    node_id: int
    cluster_id: str
    ports: Mapping[str, int]
    """By the names of `PORT_NAMES`; the others know them, so that they can never change."""
    voters: str
    """Every controller: `id@host:port`, separated by commas."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What differs from a node alone."""
    heap_mebibytes: int = HEAP_MEBIBYTES


class LocalKafka:
    """Starts and stops the node; the data directory may be used again after any kind of end.

    ``data_directory`` holds log segments, configuration, remembered ports, pid file and the
    broker's log. Only one process may use it at a time (the caller sees to that).
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        java: Path | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Describe the node; nothing is started. ``java``: a launcher, default the machine's.

        Without ``membership`` it is a cluster of its own, at ports that it chooses and remembers.
        """
        self.data_directory = data_directory.resolve()
        self._java = java
        self._membership = membership
        self._process: ManagedProcess | None = None
        self._port = 0

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients; valid once started, and the same after a restart."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """Process number of the node; StartError when it was never started."""
        return self._started().pid

    def running(self) -> bool:
        """Return whether the node's process runs."""
        return self._process is not None and self._process.running()

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> str:
        """Start the node, wait until it answers a metadata request, return its address.

        A node left running by an earlier, crashed run is ended first. Raises StartError with the
        end of the broker's log, DownloadError when the jars cannot be had.
        """
        for attempt in range(1, START_ATTEMPTS + 1):
            self.launch()
            try:
                self.wait_ready(timeout_seconds)
            except StartError:
                # Somebody may have taken the port between choosing and binding: choose again.
                if "Address already in use" not in self._log_tail() or attempt == START_ATTEMPTS:
                    raise
            else:
                break
        return self.bootstrap_servers

    def launch(self) -> None:
        """Start the node and do not wait: one of several becomes ready only with the others."""
        self.data_directory.mkdir(parents=True, exist_ok=True)
        end_orphan(self.data_directory / "kafka.pid", STOP_GRACE_SECONDS)
        java = [str(self._java or find_java())]
        java += ["-cp", ":".join(str(jar) for jar in class_path())]
        configuration = self._configure()
        self._format(java, configuration)
        self._process = self._launch(java, configuration)

    def wait_ready(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait until the node answers and counts itself alive; else end it, raise StartError."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and self.running():
            if answers_metadata(self.bootstrap_servers, self._node_id):
                return
            time.sleep(READY_POLL_SECONDS)
        tail = self._log_tail()
        self._started().stop(0)
        message = f"the broker did not become ready; end of its log:\n{tail}"
        raise StartError(message)

    def stop(self) -> None:
        """Shut the node down cleanly; after 20 s by force. No error if it does not run."""
        if self._process is not None:
            self._process.stop(STOP_GRACE_SECONDS)

    def kill(self) -> None:
        """End the node as a crash does (for tests); start() brings it back on the same port."""
        self._started().kill()

    def __enter__(self) -> Self:
        """Start the node."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the node."""
        self.stop()

    def _started(self) -> ManagedProcess:
        if self._process is None:
            message = "the broker is not started"
            raise StartError(message)
        return self._process

    @property
    def _node_id(self) -> int:
        return self._membership.node_id if self._membership else ONLY_NODE

    def _configure(self) -> Path:
        member = self._membership
        ports = (
            member.ports
            if member
            else remembered_ports(self.data_directory / "ports.json", PORT_NAMES)
        )
        self._port = ports["client"]
        listeners = ",".join(f"{name.upper()}://{LOOPBACK}:{port}" for name, port in ports.items())
        settings = SETTINGS | {
            "log.dirs": str(self.data_directory / "log"),
            "listeners": listeners,
            "advertised.listeners": f"CLIENT://{self.bootstrap_servers}",
            "node.id": str(self._node_id),
            "controller.quorum.voters": f"{ONLY_NODE}@{LOOPBACK}:{ports['controller']}",
        }
        if member:
            settings |= {"controller.quorum.voters": member.voters, **member.settings}
        file = self.data_directory / "server.properties"
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        file.write_text("".join(lines), encoding="utf-8")
        return file

    def _format(self, java: list[str], configuration: Path) -> None:
        if (self.data_directory / "log" / "meta.properties").exists():
            return
        cluster_id = self._membership.cluster_id if self._membership else new_cluster_id()
        command = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        answer = subprocess.run(
            [*command, "-t", cluster_id, "-c", str(configuration)],
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_SECONDS,
            check=False,
        )
        if answer.returncode != 0:
            message = (
                f"the broker's storage could not be formatted:\n{answer.stdout}{answer.stderr}"
            )
            raise StartError(message)

    def _launch(self, java: list[str], configuration: Path) -> ManagedProcess:
        logs = self.data_directory / "logs"
        options = [
            f"-Xmx{self._membership.heap_mebibytes if self._membership else HEAP_MEBIBYTES}m",
            "-XX:+UseG1GC",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG4J_CONFIGURATION}",
            f"-Dkafka.logs.dir={logs}",
        ]
        process = ManagedProcess(
            "kafka",
            [java[0], *options, *java[1:], "kafka.Kafka", str(configuration)],
            run_directory=self.data_directory,
            log_file=logs / "output.log",
        )
        process.start()
        return process

    def _log_tail(self, lines: int = 30) -> str:
        texts = []
        for name in ("output.log", "broker.log"):
            with suppress(OSError):
                text = (self.data_directory / "logs" / name).read_text(errors="replace")
                texts += text.splitlines()[-lines:]
        return "\n".join(texts)


def new_cluster_id() -> str:
    """Return a UUID in base64url without padding: 22 characters."""
    cluster_id = "-"
    while cluster_id.startswith("-"):  # it would be taken for an option
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster_id


def answers_metadata(bootstrap_servers: str, node_id: int) -> bool:
    """Return whether a broker there answers a metadata request, and the node counts as alive."""
    host, _, port = bootstrap_servers.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=METADATA_TIMEOUT_MS / 1000).close()
        # Made only for an open port: a client that cannot connect leaves its thread behind.
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers,
            request_timeout_ms=METADATA_TIMEOUT_MS,
            bootstrap_timeout_ms=METADATA_TIMEOUT_MS,
        )
    except (OSError, KafkaError):
        return False
    try:
        brokers = admin.describe_cluster()["brokers"]
    except KafkaError:
        return False
    finally:
        admin.close()
    # A node that is still starting is registered, but fenced.
    return any(each["broker_id"] == node_id and not each["is_fenced"] for each in brokers)
