"""Create the catalogue's topics and check that those which exist are as the catalogue says."""

from collections.abc import Iterable, Mapping

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, for_code

from services.contracts import topics
from services.contracts.topics import PARTITIONS, TOPICS, TimestampType, Topic

REQUEST_TIMEOUT_MS = 15_000
BROKER_DEFAULT_REPLICATION = -1
NO_ERROR = 0


class TopicMismatchError(Exception):
    """Existing topics differ from the catalogue; the message names topic, setting and values."""


def ensure_topics(
    bootstrap_servers: str,
    *,
    catalogue: Iterable[Topic] = TOPICS,
    replication_factor: int = BROKER_DEFAULT_REPLICATION,
    timestamp_type: TimestampType | None = None,
) -> list[str]:
    """Create the topics that are missing, then check all; return the full names created.

    Safe to call again and from several processes at once. Names carry the current prefix.
    ``timestamp_type`` replaces the catalogue's for every topic: a test that lives through months,
    or a time-lapse, writes append times itself into CreateTime topics.
    Raises TopicMismatchError when an existing topic has another partition count or setting, and
    kafka's own errors when the cluster cannot be reached.
    """
    wanted = {topics.name(topic.short_name): topic.settings() for topic in catalogue}
    if timestamp_type is not None:
        for settings in wanted.values():
            settings["message.timestamp.type"] = timestamp_type.value
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        existing = set(admin.list_topics())
        missing = [name for name in wanted if name not in existing]
        if missing:
            _create(admin, {name: wanted[name] for name in missing}, replication_factor)
        mismatches = _mismatches(admin, wanted)
    if mismatches:
        lines = "\n".join(
            f"- {name}: {each}" for name, found in mismatches.items() for each in found
        )
        message = (
            f"topics differ from the catalogue (主题与目录不符):\n{lines}\n"
            "A partition count can never be changed; settings can, by the cluster's administrator."
        )
        raise TopicMismatchError(message)
    return missing


def _create(
    admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]], replication_factor: int
) -> None:
    answer = admin.create_topics(
        {
            name: {
                "num_partitions": PARTITIONS,
                "replication_factor": replication_factor,
                "configs": dict(settings),
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
    admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """Return by full name what is not as wanted; a topic that is as wanted has no entry."""
    found: dict[str, list[str]] = {}
    for description in admin.describe_topics(list(wanted)):
        count = len(description["partitions"])
        if count != PARTITIONS:
            found.setdefault(description["name"], []).append(
                f"{count} partitions, not {PARTITIONS}"
            )
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, list(settings))
        for name, settings in wanted.items()
    ]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    for name, settings in wanted.items():
        actual = {key: entry["value"] for key, entry in described[name].items()}
        for key, value in settings.items():
            if actual.get(key) != value:
                found.setdefault(name, []).append(f"{key} is {actual.get(key)}, not {value}")
    return found


def differences(
    bootstrap_servers: str, catalogue: Iterable[Topic] = TOPICS
) -> dict[str, list[str]]:
    """Compare the cluster with the catalogue; return by full name what differs. Changes nothing.

    Raises kafka's own errors when the cluster cannot be reached.
    """
    wanted = {topics.name(topic.short_name): topic.settings() for topic in catalogue}
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        existing = set(admin.list_topics())
        missing = {name: ["missing (缺失)"] for name in wanted if name not in existing}
        there = {name: settings for name, settings in wanted.items() if name in existing}
        return missing | (_mismatches(admin, there) if there else {})
