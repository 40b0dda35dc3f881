"""Create the catalogue's topics and check that those which exist are as the catalogue says."""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, for_code

from services.contracts import topics
from services.contracts.topics import PARTITIONS, TOPICS, TimestampType, Topic
from services.runtime.durability import BROKERS_DEFAULT, IN_SYNC_SETTING, Durability

REQUEST_TIMEOUT_MS = 15_000
BROKER_DEFAULT_REPLICATION = -1
NO_ERROR = 0
SET_ON_THE_TOPIC = "DYNAMIC_TOPIC_CONFIG"
"""Where a setting comes from that is the topic's own, not the broker's default."""
REPLICATION_BROKERS_MIN = 3
"""With so many brokers a topic need not stand on one alone: two have it while one is away."""


class TopicMismatchError(Exception):
    """Existing topics differ from the catalogue; the message names topic, setting and values."""


class TooFewBrokersError(Exception):
    """The cluster has fewer brokers than a topic is to have replicas; nothing was created."""


def ensure_topics(
    bootstrap_servers: str,
    *,
    catalogue: Iterable[Topic] = TOPICS,
    durability: Durability = BROKERS_DEFAULT,
    timestamp_type: TimestampType | None = None,
) -> list[str]:
    """Create the topics that are missing, then check all; return the full names created.

    Safe to call again and from several processes at once. Names carry the current prefix.
    ``timestamp_type`` replaces the catalogue's for every topic: a test that lives through months,
    or a time-lapse, writes append times itself into CreateTime topics.
    ``durability`` is what new topics get; those that exist must have at least that.
    Raises TopicMismatchError when an existing topic has another partition count or setting or is
    less durable, TooFewBrokersError before anything is created, and kafka's own errors when the
    cluster cannot be reached.
    """
    wanted = {topics.name(topic.short_name): topic.settings() for topic in catalogue}
    if timestamp_type is not None:
        for settings in wanted.values():
            settings["message.timestamp.type"] = timestamp_type.value
    with _admin(bootstrap_servers) as admin:
        existing = set(admin.list_topics())
        missing = [name for name in wanted if name not in existing]
        if missing:
            _refuse_too_few_brokers(admin, durability)
            _create(admin, {name: wanted[name] for name in missing}, durability)
        mismatches = _mismatches(admin, wanted, durability)
    if mismatches:
        lines = "\n".join(
            f"- {name}: {each}" for name, found in mismatches.items() for each in found
        )
        message = (
            f"topics differ from the catalogue (主题与目录不符):\n{lines}\n"
            "A partition count can never be changed; settings and replicas can, by the cluster's "
            "administrator."
        )
        raise TopicMismatchError(message)
    return missing


def _refuse_too_few_brokers(admin: KafkaAdminClient, durability: Durability) -> None:
    """Raise TooFewBrokersError if the cluster cannot give the replicas."""
    if durability.replicas is None:
        return
    brokers = _brokers(admin)
    if durability.replicas > brokers:
        message = (
            f"{durability.replicas} replicas need as many brokers, the cluster has {brokers}; "
            "nothing was created (集群节点数少于副本数，未创建任何主题)"
        )
        raise TooFewBrokersError(message)


def _brokers(admin: KafkaAdminClient) -> int:
    """Return how many brokers are registered; one that is away for now counts."""
    return len(admin.describe_cluster()["brokers"])


def _create(
    admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]], durability: Durability
) -> None:
    answer = admin.create_topics(
        {
            name: {
                "num_partitions": PARTITIONS,
                "replication_factor": durability.replicas or BROKER_DEFAULT_REPLICATION,
                "configs": dict(settings) | durability.settings(),
            }
            for name, settings in wanted.items()
        },
        raise_errors=False,
    )
    for topic in answer["topics"]:
        # One that exists by now was made by another process; its settings are checked below.
        if topic["error_code"] not in (NO_ERROR, TopicAlreadyExistsError.errno):
            raise for_code(topic["error_code"])(f"{topic['name']}: {topic['error_message']}")
    admin.wait_for_topics(list(wanted))


def _mismatches(
    admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]], durability: Durability
) -> dict[str, list[str]]:
    """Return by full name what is not as wanted; a topic that is as wanted has no entry."""
    described = {each["name"]: each for each in admin.describe_topics(list(wanted))}
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, [*settings, IN_SYNC_SETTING])
        for name, settings in wanted.items()
    ]
    configured = admin.describe_configs(resources, config_filter="all")["topic"]
    found: dict[str, list[str]] = {}
    for name, settings in wanted.items():
        actual = {key: entry["value"] for key, entry in configured[name].items()}
        count = len(described[name]["partitions"])
        told = [f"{count} partitions, not {PARTITIONS}"] if count != PARTITIONS else []
        told += [
            f"{key} is {actual.get(key)}, not {value}"
            for key, value in settings.items()
            if actual.get(key) != value
        ]
        told += durability.shortfalls(_replicas(described[name]), int(actual[IN_SYNC_SETTING]))
        if told:
            found[name] = told
    return found


def _replicas(description: Mapping[str, Any]) -> int:
    """Return on how many brokers a topic stands: of its partitions, that with the fewest counts."""
    return min(len(partition["replica_nodes"]) for partition in description["partitions"])


def differences(
    bootstrap_servers: str,
    catalogue: Iterable[Topic] = TOPICS,
    durability: Durability = BROKERS_DEFAULT,
) -> dict[str, list[str]]:
    """Compare the cluster with the catalogue; return by full name what differs. Changes nothing.

    A topic that is less durable than asked for differs too.
    Raises kafka's own errors when the cluster cannot be reached.
    """
    wanted = {topics.name(topic.short_name): topic.settings() for topic in catalogue}
    with _admin(bootstrap_servers) as admin:
        existing = set(admin.list_topics())
        missing = {name: ["missing (缺失)"] for name in wanted if name not in existing}
        there = {name: settings for name, settings in wanted.items() if name in existing}
        return missing | (_mismatches(admin, there, durability) if there else {})


def on_one_broker(bootstrap_servers: str) -> list[str]:
    """Return full names of the topics that stand on one broker, of a cluster of three or more.

    Of a smaller cluster none. Raises kafka's own errors when the cluster cannot be reached.
    """
    with _admin(bootstrap_servers) as admin:
        if _brokers(admin) < REPLICATION_BROKERS_MIN:
            return []
        there = set(admin.list_topics())
        names = [name for topic in TOPICS if (name := topics.name(topic.short_name)) in there]
        described = admin.describe_topics(names) if names else []
    alone = {each["name"] for each in described if _replicas(each) == 1}
    return [name for name in names if name in alone]


def durability_of(admin: KafkaAdminClient, name: str) -> Durability:
    """Return what a topic has, so that another can be made like it; full name.

    What it has from the broker's defaults the other has from there too.
    """
    (described,) = admin.describe_topics([name])
    resource = ConfigResource(ConfigResourceType.TOPIC, name, [IN_SYNC_SETTING])
    setting = admin.describe_configs([resource], config_filter="all")["topic"][name]
    replicas, entry = _replicas(described), setting[IN_SYNC_SETTING]
    own = entry["config_source"] == SET_ON_THE_TOPIC
    # The broker, too, takes a minimum above the replicas for all of them.
    return Durability(replicas, min(replicas, int(entry["value"])) if own else None)


def _admin(bootstrap_servers: str) -> KafkaAdminClient:
    """Return an administrator's connection that gives up soon."""
    return KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    )
