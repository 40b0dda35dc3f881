"""Ids of topics: a topic deleted and created again has the same name and another id."""

from collections.abc import Iterable

from kafka.admin import KafkaAdminClient

REQUEST_TIMEOUT_MS = 15_000
_NO_ERROR = 0


class TopicMissingError(Exception):
    """A topic does not exist; the message names it (主题不存在)."""


def topic_ids(bootstrap_servers: str, names: Iterable[str]) -> dict[str, str]:
    """Return the id of each topic, 32 hex characters. Blocks; call it from a thread.

    Raises TopicMissingError, and kafka's own errors when the cluster cannot be reached.
    """
    wanted = list(names)
    with KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as admin:
        described = {topic["name"]: topic for topic in admin.describe_topics(wanted)}
    missing = [
        name
        for name in wanted
        if name not in described or described[name]["error_code"] != _NO_ERROR
    ]
    if missing:
        raise TopicMissingError(f"no such topic (主题不存在): {', '.join(missing)}")
    return {name: str(described[name]["topic_id"]).replace("-", "") for name in wanted}
