r"""The META record: where a partition stands, committed with the state it describes.

It is the last record of every transaction in the changelog and in the timeline topic. A reader
that has passed it has seen the whole unit, and knows which source records are contained in it.

Format: key ``b"\x00meta"``; value JSON (UTF-8, sorted keys, no spaces)::

    {"applied":{"<topic>":[<next offset>,<append time ms of the last applied record>],...},
     "closed":true,
     "rebuild":{"sources":{"<topic>":<end>,...},"guarded":{"<topic>":<end>,...},
                "withheld":<int>,"differing":<int>},
     "shadow":true,"stream_time_ms":<int>,"topic_ids":{"<topic>":"<32 hex>",...},
     "unit":<int>,"v":1}

``unit`` counts the partition's committed units from 1. A topic of which nothing was applied yet is
absent from ``applied``. ``topic_ids`` are the ids of the source topics that ``applied`` speaks of,
and of the changelog it was written for; they may be absent. The others are there only when they
say something:

``rebuild``: the state is being folded again from the beginning (see `Rebuild`), and ``v`` is 2:
software that would not withhold what was published before must not go on from there.
``shadow``: the unit was published by a predecessor and withheld here; ``v`` is 2: who goes on must
know that predecessor's position. ``closed``: another version took over from this state, for ever;
``v`` is 3.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

META_KEY = b"\x00meta"
RESERVED_PREFIX = b"\x00"
"""Keys beginning so are the engine's own; a business step must not write them."""

_VERSION = 1
_VERSION_REBUILDING = 2
_VERSION_CLOSED = 3


class MetaError(ValueError):
    """A META record that cannot be understood (位点记录无法解析): written by other software."""


class NewerMetaError(MetaError):
    """A META value that a newer release wrote (更新版本的位点记录)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far one source topic is contained in the state of a partition."""

    next_offset: int
    append_time_ms: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A state folded from the beginning although the world went on before it (重建进行中).

    ``sources``: where the source topics ended when it began; past all of them it is over.
    ``guarded``: where the guarded topics ended then. A side record whose identity stands below that
    was published by the state that was lost: it is withheld. ``withheld`` counts those, and
    ``differing`` the ones among them that came out with other bytes.
    """

    sources: Mapping[str, int]
    guarded: Mapping[str, int]
    withheld: int = 0
    differing: int = 0

    def is_over(self, applied: Mapping[str, Applied]) -> bool:
        """Tell whether everything that was there when it began is contained."""
        return all(
            end == 0 or (topic in applied and applied[topic].next_offset >= end)
            for topic, end in self.sources.items()
        )


_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Meta:
    """The position of one partition: units committed, applied offsets, stream time."""

    unit: int = 0
    stream_time_ms: int = 0
    applied: Mapping[str, Applied] = field(default_factory=lambda: MappingProxyType({}))
    topic_ids: Mapping[str, str] = field(default_factory=lambda: _NONE)
    rebuild: Rebuild | None = None
    closed: bool = False
    shadow: bool = False

    @property
    def version(self) -> int:
        """The version of the format that this position needs."""
        if self.closed:
            return _VERSION_CLOSED
        return _VERSION_REBUILDING if self.rebuild is not None or self.shadow else _VERSION

    def next_offset(self, topic: str) -> int | None:
        """Return the first offset of ``topic`` that is not contained, or None if none was read."""
        applied = self.applied.get(topic)
        return None if applied is None else applied.next_offset


def encode(meta: Meta) -> bytes:
    """Return the value of the META record."""
    document: dict[str, Any] = {
        "applied": {t: [a.next_offset, a.append_time_ms] for t, a in meta.applied.items()},
        "stream_time_ms": meta.stream_time_ms,
        "unit": meta.unit,
        "v": meta.version,
    }
    if meta.topic_ids:
        document["topic_ids"] = dict(meta.topic_ids)
    for name, said in (("closed", meta.closed), ("shadow", meta.shadow)):
        if said:
            document[name] = True
    if meta.rebuild is not None:
        document["rebuild"] = {
            "sources": dict(meta.rebuild.sources),
            "guarded": dict(meta.rebuild.guarded),
            "withheld": meta.rebuild.withheld,
            "differing": meta.rebuild.differing,
        }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode(value: bytes) -> Meta:
    """Return the position written in a META record's value.

    Raises:
        NewerMetaError: a newer release wrote it, with what this one would drop.
        MetaError: the bytes are no META value at all.
    """
    try:
        document = json.loads(value)
        version = document["v"]
        _refuse_newer(version)
        rebuild = document.get("rebuild")
        meta = Meta(
            unit=int(document["unit"]),
            stream_time_ms=int(document["stream_time_ms"]),
            applied=MappingProxyType(
                {str(t): Applied(int(o), int(ms)) for t, (o, ms) in document["applied"].items()}
            ),
            topic_ids=MappingProxyType(
                {str(t): str(topic_id) for t, topic_id in document.get("topic_ids", {}).items()}
            ),
            rebuild=None if rebuild is None else _decode_rebuild(rebuild),
            closed=document.get("closed", False) is True,
            shadow=document.get("shadow", False) is True,
        )
    except NewerMetaError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MetaError(f"not a META value: {value[:80]!r} ({error}) (位点记录无法解析)") from error
    if version != meta.version:
        raise MetaError(f"META version {version!r} is not {meta.version} (位点记录版本不符)")
    return meta


def _refuse_newer(version: object) -> None:
    if isinstance(version, int) and version > _VERSION_CLOSED:
        raise NewerMetaError(
            f"META version {version} is of a newer release, this one knows {_VERSION_CLOSED} "
            "(位点记录由更新的版本写入)"
        )


def _decode_rebuild(document: Any) -> Rebuild:
    return Rebuild(
        sources=MappingProxyType({str(t): int(end) for t, end in document["sources"].items()}),
        guarded=MappingProxyType({str(t): int(end) for t, end in document["guarded"].items()}),
        withheld=int(document["withheld"]),
        differing=int(document["differing"]),
    )
