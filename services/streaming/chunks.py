"""What polls bring to a partition: chunks of records, what brokers say of a topic's end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.streaming.interface import SourceRecord

_RECORD_BYTES = 300
"""Memory of a record beside its key's, value's and headers' bytes: the objects that hold them."""
_HEADER_BYTES = 200
"""The same of a header, its name included."""
_SAMPLED_RECORDS = 16


@dataclass(slots=True)
class Chunk:
    """What one poll brought of one topic: ``records`` between two fetch positions.

    ``end`` may lie beyond the last record's offset + 1, and ``records`` may be empty: transactions'
    control records, aborted records and compacted ones take offsets and are not delivered.
    ``answered_ns`` is when the broker's answer that brought them came. ``size`` is the bytes of all
    keys and values, ``held`` about the memory that the records take.
    """

    topic: str
    start: int
    end: int
    answered_ns: int
    records: Sequence[SourceRecord]
    size: int = field(init=False)
    held: int = field(init=False)

    def __post_init__(self) -> None:
        records = self.records
        self.size = sum(len(r.key or b"") + len(r.value or b"") for r in records)
        # Records of one topic have like headers: a few of them tell enough.
        sample = records[:: len(records) // _SAMPLED_RECORDS + 1]
        headers = sum(len(v or b"") + _HEADER_BYTES for r in sample for _, v in r.headers)
        each = _RECORD_BYTES + headers // max(1, len(sample))
        self.held = self.size + each * len(records)


class TopicEnd(NamedTuple):
    """The broker's latest answer about a topic: its last stable offset, and our position then.

    ``asked_ns`` is when the request was sent: the answer holds for some moment after it.
    """

    topic: str
    position: int
    stable_end: int
    asked_ns: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one poll brought for one partition, tagged with the epoch it was fetched in.

    An empty one only wakes the partition up (a tick may be due).
    """

    epoch: int
    chunks: Sequence[Chunk] = ()
    ends: Sequence[TopicEnd] = ()


@dataclass(slots=True)
class Backlog:
    """What of one source topic is on its way or waits: records, and the memory they hold."""

    records: int = 0
    held: int = 0
