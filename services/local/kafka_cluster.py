"""Three real Apache Kafka nodes (KRaft) on this machine: replicas, leaders, a controller quorum.

Every record stands on all three nodes and is acknowledged once two have it, so that any one node
may be lost at any moment. For tests: production's nodes are on machines of their own.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka.admin import KafkaAdminClient

from services.local.kafka import (
    PORT_NAMES,
    START_TIMEOUT_SECONDS,
    LocalKafka,
    Membership,
    new_cluster_id,
)
from services.local.ports import LOOPBACK, free_ports
from services.local.waiting import poll_until

NODES = (1, 2, 3)
HEAP_MEBIBYTES = 256
START_SECONDS = 240.0
CLUSTER_FILE = "cluster.json"
SETTINGS = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # All three share one machine: a node that waits for a processor is not to be taken for dead,
    # or leaders change without end. A dead one is replaced after so many milliseconds.
    "broker.session.timeout.ms": "9000",
    "broker.heartbeat.interval.ms": "1500",
    "controller.quorum.fetch.timeout.ms": "8000",
    "controller.quorum.election.timeout.ms": "4000",
    "controller.quorum.request.timeout.ms": "8000",
}
"""What differs from a node alone."""


class LocalKafkaCluster:
    """Starts and stops the nodes; the directory may be used again after any kind of end."""

    def __init__(self, directory: Path) -> None:
        """Describe the nodes and choose their ports; nothing is started."""
        directory.mkdir(parents=True, exist_ok=True)
        agreed = _agreement(directory / CLUSTER_FILE)
        ports: dict[int, dict[str, int]] = {int(n): p for n, p in agreed["ports"].items()}
        voters = ",".join(f"{n}@{LOOPBACK}:{ports[n]['controller']}" for n in NODES)
        self.nodes = {
            n: LocalKafka(
                directory / f"node-{n}",
                membership=Membership(
                    n, agreed["cluster_id"], ports[n], voters, SETTINGS, HEAP_MEBIBYTES
                ),
            )
            for n in NODES
        }
        self.bootstrap_servers = ",".join(f"{LOOPBACK}:{ports[n]['client']}" for n in NODES)
        """Addresses of all nodes, for clients."""

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> str:
        """Start the nodes that do not run, wait until all answer, return their addresses.

        Raises StartError with the end of a node's log.
        """
        for node in self.nodes.values():
            if not node.running():
                node.launch()
        for node in self.nodes.values():
            node.wait_ready(timeout_seconds)
        return self.bootstrap_servers

    def stop(self) -> None:
        """Shut the nodes down, all at once; one left without a quorum ends by force, in 20 s."""
        with ThreadPoolExecutor(len(NODES)) as threads:
            list(threads.map(LocalKafka.stop, self.nodes.values()))

    def __enter__(self) -> Self:
        """Start the nodes; three at once on a busy machine take their time."""
        self.start(START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the nodes."""
        self.stop()

    def leader(self, topic: str, partition: int) -> int:
        """Return the node that leads a partition of a topic (full name) now."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
            [described] = admin.describe_topics([topic])
        found = {each["partition_index"]: each["leader_id"] for each in described["partitions"]}
        return int(found[partition])

    def controller(self) -> int:
        """Return the node that leads the controllers now."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
            [topic] = admin.describe_metadata_quorum()["topics"]
        return int(topic["partitions"][0]["leader_id"])

    def wait_in_sync(self, timeout_seconds: float) -> None:
        """Wait until every partition of every topic is whole on all nodes."""

        def whole() -> bool:
            with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
                described = admin.describe_topics()
            partitions = [each for topic in described for each in topic["partitions"]]
            return all(len(each["isr_nodes"]) == len(NODES) for each in partitions)

        poll_until(
            whole,
            timeout_seconds=timeout_seconds,
            what="every partition is in sync on all nodes",
            interval_seconds=0.5,
        )


def _agreement(file: Path) -> dict[str, Any]:
    """Return cluster id and ports by node; drawn once, the same ever after."""
    if not file.exists():
        chosen = iter(free_ports(len(NODES) * len(PORT_NAMES)))
        ports = {n: {name: next(chosen) for name in PORT_NAMES} for n in NODES}
        file.write_text(json.dumps({"cluster_id": new_cluster_id(), "ports": ports}))
    found: dict[str, Any] = json.loads(file.read_text())
    return found
