"""The topic catalogue: every Kafka topic of the system, as data.

Names here are short (`alerts.v1`); `name()` gives the full one. The prefix is
`market-supervision.` unless MARKET_SUPERVISION_TOPIC_PREFIX names another (tests isolate
themselves that way; production never sets it).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PARTITIONS = 12
"""Partitions of every topic, in every environment, for ever: all are co-partitioned."""

TOPIC_PREFIX_VARIABLE = "MARKET_SUPERVISION_TOPIC_PREFIX"
TOPIC_PREFIX_DEFAULT = "market-supervision."

STATE_TOPIC = "lifecycle.v1"
"""Short name of the topic of the state, whatever the version of its format."""
STATE_VERSION_VARIABLE = "MARKET_SUPERVISION_STATE_VERSION"
STATE_VERSION_MAX = 99

RECORD_BATCH_BYTES_MAX = 2 * 1024 * 1024
"""Largest record batch: a dead letter wraps a source record of 1 MiB with headers and reasons."""
EVENT_BATCH_BYTES_MAX = 1024 * 1024
"""Largest record batch of an event topic: whatever stands there fits a dead letter."""

FOR_EVER = "-1"


class Cleanup(StrEnum):
    """What the broker may remove from a topic (清理策略)."""

    KEEP = "delete"
    """Nothing: retention is unlimited in time and size."""
    COMPACT = "compact"
    """Older records of a key, never the newest."""


class TimestampType(StrEnum):
    """Whose clock a record's timestamp is (时间戳类型)."""

    APPEND = "LogAppendTime"
    """The broker's, when it appended the record."""
    CREATE = "CreateTime"
    """The producer's."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: who writes it, who reads it, what it keeps (主题)."""

    short_name: str
    description: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    cleanup: Cleanup = Cleanup.KEEP
    timestamp_type: TimestampType = TimestampType.CREATE
    record: bool = False
    """Part of the record: cannot be rebuilt from anything else."""
    batch_bytes_max: int = RECORD_BATCH_BYTES_MAX
    """Largest record batch the broker takes, in bytes."""

    def settings(self) -> dict[str, str]:
        """Return the broker settings the topic must have."""
        settings = {
            "cleanup.policy": self.cleanup.value,
            "message.timestamp.type": self.timestamp_type.value,
            "max.message.bytes": str(self.batch_bytes_max),
            "retention.ms": FOR_EVER,
            "retention.bytes": FOR_EVER,
        }
        if self.cleanup is Cleanup.COMPACT:
            # Small segments let the cleaner reach recent records; the active one is never cleaned.
            settings["segment.bytes"] = str(64 * 1024 * 1024)
        return settings


def _event_topic(family: str, description: str) -> Topic:
    return Topic(
        f"{family}.v1",
        description,
        key="canonical entity key, scheme:value",
        producers=(family,),
        consumers=("lifecycle", family),
        timestamp_type=TimestampType.APPEND,
        record=True,
        batch_bytes_max=EVENT_BATCH_BYTES_MAX,
    )


TOPICS: tuple[Topic, ...] = (
    _event_topic("registration", "Registration events (登记注册)"),
    _event_topic("inspections", "Inspection and sampling events (监督检查)"),
    _event_topic("complaints", "Complaint and report events (投诉举报)"),
    _event_topic("penalties", "Administrative penalty events (行政处罚)"),
    Topic(
        "control.v1",
        "Ticks and rule bundles, the same bundle in every partition (控制记录)",
        key="`tick|<ms>`, `idle-tick|<hour>` or `bundle/<version>`",
        producers=("lifecycle", "control"),
        consumers=("lifecycle",),
        cleanup=Cleanup.COMPACT,
        timestamp_type=TimestampType.APPEND,
        record=True,
    ),
    Topic(
        "alert-actions.v1",
        "What officers did with alerts (预警处置)",
        key="canonical key of the alert's entity",
        producers=("profiles",),
        consumers=("lifecycle",),
        timestamp_type=TimestampType.APPEND,
        record=True,
    ),
    Topic(
        "relocated.v1",
        "Facts handed over from one entity key to another (事实移交)",
        key="<from entity key>|<slot>",
        producers=("lifecycle",),
        consumers=("lifecycle",),
        cleanup=Cleanup.COMPACT,
        timestamp_type=TimestampType.APPEND,
        record=True,
    ),
    Topic(
        "links.v1",
        "Which entity key stands for which (主体标识关联)",
        key="canonical entity key that was linked away",
        producers=("lifecycle",),
        consumers=("registration", "inspections", "complaints", "penalties", "projection"),
        cleanup=Cleanup.COMPACT,
    ),
    Topic(
        "lifecycle.v1",
        "State of entities, matters, windows and alert threads; META closes each transaction "
        "(全生命周期状态)",
        key="<entity key>, <entity key>|<matter> and so on",
        producers=("lifecycle",),
        consumers=("lifecycle", "projection"),
        cleanup=Cleanup.COMPACT,
    ),
    Topic(
        "timeline.v1",
        "One entry a fact, for the read side (时间线)",
        key="<entity key>|<slot>",
        producers=("lifecycle",),
        consumers=("projection", "profiles"),
        cleanup=Cleanup.COMPACT,
    ),
    Topic(
        "alerts.v1",
        "Every record of every alert thread (风险预警)",
        key="canonical entity key",
        producers=("lifecycle",),
        consumers=("profiles",),
        record=True,
    ),
    Topic(
        "dead-letter.v1",
        "Records that could not be folded, with bytes and reason (死信)",
        key="key of the original record",
        producers=("lifecycle",),
        consumers=("msctl",),
        record=True,
    ),
    Topic(
        "subscriptions.v1",
        "Alert subscriptions and their positions (预警订阅)",
        key="subscription id",
        producers=("profiles",),
        consumers=("profiles",),
        cleanup=Cleanup.COMPACT,
        record=True,
    ),
)

CATALOGUE: Mapping[str, Topic] = {topic.short_name: topic for topic in TOPICS}


def prefix() -> str:
    """Return the prefix of all topic names."""
    return os.environ.get(TOPIC_PREFIX_VARIABLE, TOPIC_PREFIX_DEFAULT)


def name(short_name: str) -> str:
    """Return the full name of a catalogued topic; KeyError for one that is not catalogued.

    That of the state's topic is the one of the version this process works on.
    """
    if short_name == STATE_TOPIC:
        return state_topic_name(state_version())
    return prefix() + CATALOGUE[short_name].short_name


def state_version() -> int:
    """Return the version of the state's format that this process works on; ValueError if invalid.

    Another version has a topic of its own, `lifecycle.v<n>`, beside the first one's.
    """
    given = os.environ.get(STATE_VERSION_VARIABLE, "1")
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given) <= STATE_VERSION_MAX:
        message = f"{STATE_VERSION_VARIABLE}={given}: not from 1 to {STATE_VERSION_MAX}"
        raise ValueError(message)
    return int(given)


def state_topic_name(version: int) -> str:
    """Return the full name of the state's topic in a version of its format."""
    return f"{prefix()}lifecycle.v{version}"


def short_name(full_name: str) -> str:
    """Return the catalogue's name of a full topic name; ValueError when it is not one of ours."""
    if full_name == name(STATE_TOPIC):
        return STATE_TOPIC
    found = full_name.removeprefix(prefix())
    if not full_name.startswith(prefix()) or found not in CATALOGUE:
        message = f"not a topic of the catalogue: {full_name}"
        raise ValueError(message)
    return found
