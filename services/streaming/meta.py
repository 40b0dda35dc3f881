r"""The META record: where a partition stands, committed with the state it describes.

It is the last record of every transaction in the changelog and in the timeline topic. A reader
that has passed it has seen the whole unit, and knows which source records are contained in it.

Format: key ``b"\x00meta"``; value JSON (UTF-8, sorted keys, no spaces)::

    {"applied":{"<topic>":[<next offset>,<append time ms of the last applied record>],...},
     "stream_time_ms":<int>,"unit":<int>,"v":1}

``unit`` counts the partition's committed units from 1. A topic of which nothing was applied yet is
absent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

META_KEY = b"\x00meta"
RESERVED_PREFIX = b"\x00"
"""Keys beginning so are the engine's own; a business step must not write them."""

_VERSION = 1


class MetaError(ValueError):
    """A META record that cannot be understood (位点记录无法解析): written by other software."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far one source topic is contained in the state of a partition."""

    next_offset: int
    append_time_ms: int


@dataclass(frozen=True, slots=True)
class Meta:
    """The position of one partition: units committed, applied offsets, stream time."""

    unit: int = 0
    stream_time_ms: int = 0
    applied: Mapping[str, Applied] = field(default_factory=lambda: MappingProxyType({}))

    def next_offset(self, topic: str) -> int | None:
        """Return the first offset of ``topic`` that is not contained, or None if none was read."""
        applied = self.applied.get(topic)
        return None if applied is None else applied.next_offset


def encode(meta: Meta) -> bytes:
    """Return the value of the META record."""
    document = {
        "applied": {t: [a.next_offset, a.append_time_ms] for t, a in meta.applied.items()},
        "stream_time_ms": meta.stream_time_ms,
        "unit": meta.unit,
        "v": _VERSION,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode(value: bytes) -> Meta:
    """Return the position written in a META record's value.

    Raises:
        MetaError: the bytes are no META value of a version this software knows.
    """
    try:
        document = json.loads(value)
        version = document["v"]
        meta = Meta(
            unit=int(document["unit"]),
            stream_time_ms=int(document["stream_time_ms"]),
            applied=MappingProxyType(
                {str(t): Applied(int(o), int(ms)) for t, (o, ms) in document["applied"].items()}
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MetaError(f"not a META value: {value[:80]!r} ({error}) (位点记录无法解析)") from error
    if version != _VERSION:
        raise MetaError(f"META version {version!r} is not {_VERSION} (位点记录版本不支持)")
    return meta
