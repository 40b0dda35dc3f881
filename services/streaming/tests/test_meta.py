"""META is what the projection and the next owner of a partition rely on."""

import json

import pytest

from services.streaming.meta import (
    META_KEY,
    Applied,
    Meta,
    MetaError,
    NewerMetaError,
    decode,
    encode,
)


def test_meta_encoded_and_decoded_is_equal() -> None:
    """What one owner writes, the next one reads."""
    meta = Meta(7, 1_700_000_000_123, {"b.v1": Applied(12, 99), "a.v1": Applied(3, 100)})
    assert decode(encode(meta)) == meta


def test_meta_bytes_are_the_documented_format() -> None:
    """Readers in other processes decode these bytes; the format is part of the contract."""
    meta = Meta(7, 100, {"b.v1": Applied(12, 99), "a.v1": Applied(3, 100)})
    assert META_KEY == b"\x00meta"
    assert encode(meta) == (
        b'{"applied":{"a.v1":[3,100],"b.v1":[12,99]},"stream_time_ms":100,"unit":7,"v":1}'
    )


def test_meta_of_an_unread_topic_has_no_offset() -> None:
    """A topic of which nothing was applied is absent, not at offset 0."""
    meta = Meta(1, 5, {"a.v1": Applied(3, 5)})
    assert meta.next_offset("a.v1") == 3
    assert meta.next_offset("b.v1") is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        json.dumps({"applied": {}, "stream_time_ms": 1, "unit": 1, "v": 2}).encode(),
        json.dumps({"applied": {"a": [1]}, "stream_time_ms": 1, "unit": 1, "v": 1}).encode(),
    ],
)
def test_meta_of_other_software_is_refused(value: bytes) -> None:
    """A position that cannot be understood must not be taken for offset 0."""
    with pytest.raises(MetaError):
        decode(value)


def test_meta_of_a_newer_release_is_refused_as_such_whatever_else_it_holds() -> None:
    """Who rolled back is told so, and not that something is broken."""
    with pytest.raises(NewerMetaError, match="version 4 is of a newer release"):
        decode(b'{"v":4}')
