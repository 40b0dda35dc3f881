"""Timeline pointers: 20 bytes that order a fact in time and find it in the log.

    6 bytes  event time in milliseconds, biased so that byte order is time order
    8 bytes  first half of the entry id
    6 bytes  offset in the entity's partition of the timeline topic

Members of a sorted set with one score come in byte order: time first, then entry id, so that facts
of one moment have a fixed order. Half the entry id tells 100,000 facts of one entity apart with a
chance of error of 3 in 10,000,000,000; who reads the log compares the whole id.
"""

from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from services.readmodel.errors import RecordError

TIME_BYTES = 6
HASH_BYTES = 8
OFFSET_BYTES = 6
PLACE_BYTES = TIME_BYTES + HASH_BYTES
POINTER_BYTES = PLACE_BYTES + OFFSET_BYTES

_BIAS_MS = 1 << 47


class Pointer(NamedTuple):
    """Where one fact stands (时间线指针)."""

    time_ms: int
    entry_hash: bytes
    offset: int

    def encode(self) -> bytes:
        """Return the 20 bytes."""
        return (
            encode_time(self.time_ms) + self.entry_hash + self.offset.to_bytes(OFFSET_BYTES, "big")
        )

    def place(self) -> bytes:
        """Return the bytes that order it: time and entry, whatever its offset becomes."""
        return encode_time(self.time_ms) + self.entry_hash


def decode(member: bytes) -> Pointer:
    """Take a member apart; RecordError when it is no pointer."""
    if len(member) != POINTER_BYTES:
        raise RecordError(f"not a timeline pointer: {member!r} (时间线指针无效)")
    return Pointer(
        decode_time(member[:TIME_BYTES]),
        member[TIME_BYTES:PLACE_BYTES],
        int.from_bytes(member[PLACE_BYTES:], "big"),
    )


def milliseconds(time: Timestamp) -> int:
    """Return a time in milliseconds since 1970-01-01 UTC, also one that no calendar holds.

    What is on the log has its place in the order; a time out of range must not stop the reader.
    """
    return time.seconds * 1000 + time.nanos // 1_000_000


def encode_time(time_ms: int) -> bytes:
    """Return a time as bytes in time order; it is clamped to about ±4,400 years around 1970."""
    return (min(max(time_ms, -_BIAS_MS), _BIAS_MS - 1) + _BIAS_MS).to_bytes(TIME_BYTES, "big")


def decode_time(encoded: bytes) -> int:
    """Return the milliseconds since 1970-01-01 UTC."""
    return int.from_bytes(encoded, "big") - _BIAS_MS


def entry_hash(entry_id: str) -> bytes:
    """Return the half of an entry id (32 hex characters) that a pointer holds."""
    try:
        whole = bytes.fromhex(entry_id)
    except ValueError as error:
        raise RecordError(f"not an entry id: {entry_id!r} (时间线条目编号无效)") from error
    if len(whole) != 2 * HASH_BYTES:
        raise RecordError(f"not an entry id: {entry_id!r} (时间线条目编号无效)")
    return whole[:HASH_BYTES]
