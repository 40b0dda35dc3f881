"""Topics without which nothing true can be said of the stream (缺失的主题).

Without its topics a stream looks as if nothing were behind and everything whole.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from kafka import KafkaConsumer

from services.cli.exit_codes import ExitCode
from services.cli.output import fail
from services.cli.positions import STATE_TOPIC, existing
from services.contracts import topics
from services.contracts.families import SOURCE_TOPICS
from services.contracts.topics import PARTITIONS

STREAM_TOPICS: Final = (*SOURCE_TOPICS, STATE_TOPIC)
"""What tells how far the stream is."""


def missing(consumer: KafkaConsumer, short_names: Sequence[str] = STREAM_TOPICS) -> list[str]:
    """Return those of the topics that are not there with all their partitions."""
    partitions = Counter(tp.topic for tp in existing(consumer, short_names))
    return [name for name in short_names if partitions[topics.name(name)] < PARTITIONS]


def refuse(short_names: Sequence[str]) -> None:
    """End the command with 7, naming these topics, if there are any."""
    if short_names:
        names = ", ".join(map(topics.name, short_names))
        message = f"missing or without all {PARTITIONS} partitions (主题缺失或分区不全): {names}"
        fail(message, ExitCode.DIFFERS)
