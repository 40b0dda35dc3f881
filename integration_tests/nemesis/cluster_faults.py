"""Faults of a cluster of three nodes: the leader of a partition, the leader of the controllers.

One node at a time is down, as the cluster promises to bear; the next fault waits until what the
last one lost is copied again.
"""

import random
import time
from collections.abc import Callable

from kafka.errors import KafkaError

from integration_tests.nemesis.scene import FaultError, Scene
from integration_tests.nemesis.schedule import Act
from services.contracts import topics
from services.local.kafka_cluster import LocalKafkaCluster
from services.local.waiting import poll_until

SERVER_SECONDS = 240.0
IN_SYNC_SECONDS = 240.0
ELECTION_SECONDS = 60.0
LED_TOPICS = ("registration.v1", "lifecycle.v1", "alerts.v1")


def _kill_leader(scene: Scene, act: Act) -> None:
    """Kill the node that leads a partition of a topic in use; it comes back after a while."""
    rng = random.Random(f"leader/{scene.seed}/{act.at_s}")
    topic, partition = topics.name(rng.choice(LED_TOPICS)), rng.randrange(topics.PARTITIONS)
    _kill(scene, act, lambda cluster: cluster.leader(topic, partition))


def _kill_controller(scene: Scene, act: Act) -> None:
    """Kill the node that leads the controllers."""
    _kill(scene, act, LocalKafkaCluster.controller)


def _kill(scene: Scene, act: Act, leader: Callable[[LocalKafkaCluster], int]) -> None:
    cluster = scene.stage.cluster
    assert cluster is not None
    victim = leader(cluster)
    cluster.nodes[victim].kill()

    def replaced() -> bool:
        try:
            return leader(cluster) not in {victim, NOBODY}
        except KafkaError:
            return False  # there is nobody to ask yet

    poll_until(
        replaced, timeout_seconds=ELECTION_SECONDS, what=f"another node leads in place of {victim}"
    )
    time.sleep(act.duration_s)
    if cluster.nodes[victim].running():
        message = f"node {victim} runs though it was killed"
        raise FaultError(message)
    cluster.nodes[victim].start(SERVER_SECONDS)
    cluster.wait_in_sync(IN_SYNC_SECONDS)


NOBODY = -1

CLUSTER_FAULTS: dict[str, Callable[[Scene, Act], None]] = {
    "kill-leader": _kill_leader,
    "kill-controller": _kill_controller,
}
