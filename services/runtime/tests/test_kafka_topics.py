"""Topics on clusters of several brokers, as the brokers describe them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from kafka.admin import ConfigResource

from services.contracts.topics import CATALOGUE, PARTITIONS, TOPICS, name
from services.runtime import kafka_topics
from services.runtime.durability import Durability
from services.runtime.kafka_topics import (
    TooFewBrokersError,
    TopicMismatchError,
    differences,
    durability_of,
    ensure_topics,
    on_one_broker,
)

LINKS = CATALOGUE["links.v1"]


@dataclass
class Cluster:
    """Answers an administrator as a cluster would that has these brokers and topics."""

    brokers: int
    replicas: dict[str, list[int]]
    """Full name → replicas of each partition."""
    in_sync_min: int = 1
    in_sync_source: str = "DYNAMIC_TOPIC_CONFIG"
    created: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""

    def list_topics(self) -> list[str]:
        """Names."""
        return list(self.replicas)

    def describe_cluster(self) -> dict[str, Any]:
        """Brokers."""
        return {"brokers": [{"broker_id": number} for number in range(self.brokers)]}

    def describe_topics(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Partitions with the brokers they stand on."""
        return [
            {
                "name": each,
                "partitions": [{"replica_nodes": list(range(n))} for n in self.replicas[each]],
            }
            for each in names
        ]

    def describe_configs(self, resources: list[ConfigResource], **_: object) -> dict[str, Any]:
        """Settings as the catalogue has them."""
        entry = {"value": str(self.in_sync_min), "config_source": self.in_sync_source}
        settings = {name(topic.short_name): topic.settings() for topic in TOPICS}
        return {
            "topic": {
                each.name: {key: {"value": value} for key, value in settings[each.name].items()}
                | {"min.insync.replicas": entry}
                for each in resources
            }
        }

    def create_topics(self, wanted: dict[str, Any], **_: object) -> dict[str, Any]:
        """Make them."""
        self.created |= wanted
        for each, made in wanted.items():
            self.replicas[each] = [max(1, made["replication_factor"])] * PARTITIONS
            self.in_sync_min = int(made["configs"].get("min.insync.replicas", "1"))
        return {"topics": [{"name": each, "error_code": 0} for each in wanted]}

    def wait_for_topics(self, names: Iterable[str]) -> None:
        """Nothing to wait for."""


def served(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Cluster:
    """Have every administrator's connection lead to the cluster."""
    monkeypatch.setattr(kafka_topics, "KafkaAdminClient", lambda **_: cluster)
    return cluster


def test_topic_less_durable_than_asked_for_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition with the fewest replicas counts; without being asked for nothing differs."""
    full = name(LINKS.short_name)
    served(monkeypatch, Cluster(3, {full: [3] * (PARTITIONS - 1) + [2]}))
    assert differences("", [LINKS]) == {}
    assert differences("", [LINKS], Durability(2, 1)) == {}
    assert differences("", [LINKS], Durability(3, 2)) == {
        full: ["replicas is 2, less than 3", "min.insync.replicas is 1, less than 2"]
    }


def test_topics_are_created_as_durable_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas and minimum are the new topics'; one that exists with fewer is told, and stays."""
    cluster = served(monkeypatch, Cluster(3, {}))
    assert ensure_topics("", catalogue=[LINKS], durability=Durability(3, 2)) == [
        name(LINKS.short_name)
    ]
    (made,) = cluster.created.values()
    assert made["replication_factor"] == 3
    assert made["configs"] == LINKS.settings() | {"min.insync.replicas": "2"}
    with pytest.raises(TopicMismatchError, match="replicas is 3, less than 4"):
        ensure_topics("", catalogue=[LINKS], durability=Durability(4))


def test_nothing_is_created_where_brokers_are_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic with fewer replicas than asked for would look as if all were well."""
    cluster = served(monkeypatch, Cluster(2, {}))
    with pytest.raises(TooFewBrokersError, match=r"the cluster has 2.*集群节点数少于副本数"):
        ensure_topics("", catalogue=[LINKS], durability=Durability(3, 2))
    assert cluster.created == {}


@pytest.mark.parametrize(("brokers", "told"), [(1, []), (2, []), (3, [name("links.v1")])])
def test_topic_on_one_broker_is_told_of_clusters_that_could_keep_more(
    brokers: int, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the catalogue names counts, and only what stands on one."""
    alone, held = name("links.v1"), name("alerts.v1")
    replicas = {alone: [1] * PARTITIONS, held: [2] * PARTITIONS, "another": [1]}
    served(monkeypatch, Cluster(brokers, replicas))
    assert on_one_broker("") == told


@pytest.mark.parametrize(
    ("source", "in_sync_min", "found"),
    [
        ("DYNAMIC_TOPIC_CONFIG", 2, Durability(3, 2)),
        ("DYNAMIC_TOPIC_CONFIG", 5, Durability(3, 3)),
        ("STATIC_BROKER_CONFIG", 2, Durability(3)),
    ],
)
def test_topic_made_like_another_has_its_replicas_and_its_own_minimum(
    source: str, in_sync_min: int, found: Durability
) -> None:
    """A minimum that is the broker's default stays the broker's."""
    full = name("links.v1")
    cluster = Cluster(3, {full: [3] * PARTITIONS}, in_sync_min, source)
    assert durability_of(cluster, full) == found
