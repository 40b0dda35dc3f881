"""How far the read model is: fields of the hash of positions.

Per partition ``<p>`` and topic ``<t>`` (short name):

    <p>|<t>        next offset to be applied, decimal
    <p>|<t>|done   the run of Redis in which all was applied that was there when reading began
    <p>|<t>|meta   value of the newest META record passed (lifecycle and timeline)
    <p>|heads      JSON of Heads: how far the source topics reach, and when that was asked
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.contracts.topics import PARTITIONS
from services.readmodel.errors import RecordError

LIFECYCLE = "lifecycle.v1"
TIMELINE = "timeline.v1"
LINKS = "links.v1"
TOPICS_READ = (LIFECYCLE, TIMELINE, LINKS)
"""Short names of the topics the read model is built from."""
TOPICS_WITH_META = (LIFECYCLE, TIMELINE)


def position_field(partition: int, topic: str) -> str:
    """Field of the next offset."""
    return f"{partition}|{topic}"


def done_field(partition: int, topic: str) -> str:
    """Field of the completeness mark."""
    return f"{partition}|{topic}|done"


def meta_field(partition: int, topic: str) -> str:
    """Field of the newest META passed."""
    return f"{partition}|{topic}|meta"


def heads_field(partition: int) -> str:
    """Field of the source topics' ends."""
    return f"{partition}|heads"


def all_done_fields() -> list[str]:
    """Every mark that must be set for the read model to be complete."""
    return [done_field(p, topic) for p in range(PARTITIONS) for topic in TOPICS_READ]


def freshness_fields(partition: int) -> list[str]:
    """What is needed to tell how fresh a partition is, as `freshness.reading` takes it."""
    return [*(meta_field(partition, topic) for topic in TOPICS_WITH_META), heads_field(partition)]


@dataclass(frozen=True, slots=True)
class Heads:
    """How far the source topics of a partition reached at a moment.

    ``asked_ms``: the projection's clock *before* it asked, so that whatever was appended before
    that moment lies below ``ends``. ``ends``: full topic name → end offset.
    """

    asked_ms: int
    ends: Mapping[str, int]

    def encode(self) -> bytes:
        """Return the value of the field."""
        return json.dumps({"at": self.asked_ms, "ends": dict(self.ends)}, sort_keys=True).encode()


def decode_heads(value: bytes) -> Heads:
    """Take the field's value apart; RecordError when it is not one."""
    try:
        document: dict[str, Any] = json.loads(value)
        ends: Iterable[tuple[str, int]] = document["ends"].items()
        return Heads(int(document["at"]), {topic: int(end) for topic, end in ends})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"not the ends of source topics: {value[:80]!r} ({error})") from error
