"""Where a source record stands on the log, as an intake's index remembers it.

A *slot* is (source_system, source_record_id): one fact, whatever its versions. A *place* is the
(entity key, matter) pair under which a version was filed. All values here are plain tuples with a
compact byte form, because the index holds one entry for every version ever accepted.
"""

import struct
from typing import NamedTuple

_LENGTH = struct.Struct(">H")
_VERSION = struct.Struct(">q")
_ENTRY = struct.Struct(">iqq32s")
_PLACE = struct.Struct(">qqqih")
_POSITION = struct.Struct(">qq")

ENTRY_PREFIX = b"e"
SLOT_PREFIX = b"s"
PENDING_PREFIX = b"n"
POSITION_PREFIX = b"p"


class SourceKey(NamedTuple):
    """The upstream's own key of one version of one record (来源记录版本)."""

    source_system: str
    source_record_id: str
    source_version: int


class Entry(NamedTuple):
    """The first record on the log that holds a source version: what its receipt says.

    ``append_time_ms`` is the broker's append time, in milliseconds since 1970-01-01T00:00Z.
    ``payload_hash`` has 32 bytes.
    """

    partition: int
    offset: int
    append_time_ms: int
    payload_hash: bytes
    entity_key: str

    def precedes(self, other: "Entry") -> bool:
        """Return whether this record comes first of two that hold one source version.

        Within a partition the lower offset does. Records of one version in two partitions need two
        entity keys (a race of contradictory submissions): the earlier append time, then the lower
        partition number, so that all instances agree in whatever order they read.
        """
        if self.partition == other.partition:
            return self.offset < other.offset
        return (self.append_time_ms, self.partition) < (other.append_time_ms, other.partition)


class Place(NamedTuple):
    """One (entity key, matter) pair under which versions of a slot were filed.

    ``version`` is the highest one filed here (0: none), ``moved_version`` that of the highest MOVED
    record here (0: none). ``submitted_key`` is the entity key as it was sent, when the intake
    replaced it by the root of its links, else empty. The event time (seconds, nanoseconds, offset
    from UTC in minutes) is that of ``version``.
    """

    entity_key: str
    submitted_key: str
    matter_id: str
    version: int
    moved_version: int
    event_seconds: int
    event_nanos: int
    utc_offset_minutes: int


class TailRecord(NamedTuple):
    """What the index needs to know of one record of an event topic."""

    key: SourceKey
    entry: Entry
    place: Place
    is_moved: bool


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    start = at + _LENGTH.size
    return data[start : start + length].decode(), start + length


def slot_bytes(source_system: str, source_record_id: str) -> bytes:
    """Return the unambiguous byte form of a slot."""
    return _text(source_system) + _text(source_record_id)


def read_slot(data: bytes) -> tuple[str, str]:
    """Return (source_system, source_record_id) of a slot's byte form."""
    system, at = _read_text(data, 0)
    record_id, _ = _read_text(data, at)
    return system, record_id


def entry_key(key: SourceKey) -> bytes:
    """Return the index key of a source version."""
    slot = slot_bytes(key.source_system, key.source_record_id)
    return ENTRY_PREFIX + slot + _VERSION.pack(key.source_version)


def position_key(partition: int) -> bytes:
    """Return the index key under which the position in a partition is kept."""
    return POSITION_PREFIX + _LENGTH.pack(partition)


def encode_entry(entry: Entry) -> bytes:
    """Return the byte form of an entry."""
    head = _ENTRY.pack(entry.partition, entry.offset, entry.append_time_ms, entry.payload_hash)
    return head + entry.entity_key.encode()


def decode_entry(data: bytes) -> Entry:
    """Return the entry written by ``encode_entry``."""
    partition, offset, append_time_ms, payload_hash = _ENTRY.unpack_from(data)
    return Entry(partition, offset, append_time_ms, payload_hash, data[_ENTRY.size :].decode())


def encode_places(places: tuple[Place, ...]) -> bytes:
    """Return the byte form of the places of a slot."""
    parts: list[bytes] = []
    for place in places:
        parts.append(_PLACE.pack(*place[3:]))
        parts += (_text(text) for text in place[:3])
    return b"".join(parts)


def decode_places(data: bytes) -> tuple[Place, ...]:
    """Return the places written by ``encode_places``."""
    places: list[Place] = []
    at = 0
    while at < len(data):
        numbers = _PLACE.unpack_from(data, at)
        entity_key, at = _read_text(data, at + _PLACE.size)
        submitted_key, at = _read_text(data, at)
        matter_id, at = _read_text(data, at)
        places.append(Place(entity_key, submitted_key, matter_id, *numbers))
    return tuple(places)


def encode_position(next_offset: int, append_time_ms: int) -> bytes:
    """Return the byte form of a position: next offset to read, append time of the last one read."""
    return _POSITION.pack(next_offset, append_time_ms)


def decode_position(data: bytes) -> tuple[int, int]:
    """Return (next offset, append time in ms) written by ``encode_position``."""
    next_offset, append_time_ms = _POSITION.unpack(data)
    return next_offset, append_time_ms
