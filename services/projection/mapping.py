"""From a Kafka record to what it changes in the read model. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from google.protobuf.message import DecodeError
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.lifecycle.v1.state_pb2 import AlertThread, LinkRecord
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from services.contracts import state_keys
from services.contracts.state_keys import StateKeyError, StateKind
from services.readmodel import alert_index, pointers, record
from services.readmodel.errors import RecordError
from services.readmodel.keys import ALIASES_INDEX, ENTITIES_INDEX, LINKS_INDEX, Keys
from services.readmodel.pointers import Pointer
from services.readmodel.positions import LIFECYCLE, LINKS, TIMELINE
from services.readmodel.record import Term
from services.readmodel.writer import TimelineFact, TopicBatch
from services.streaming.meta import META_KEY

_KEPT = frozenset({StateKind.ENTITY, StateKind.ALERT})
_PASSED_OVER = frozenset(kind.encode() for kind in StateKind if kind not in _KEPT)
"""Letters of the states that the stream keeps for itself. A letter nobody knows is none of them:
that record stops the projection."""


class UnreadableRecordError(Exception):
    """A committed record this software cannot understand (记录无法解析): the projection stops.

    Skipping it would make the read model differ from the log without anybody knowing.
    """


def apply(
    keys: Keys, batch: TopicBatch, offset: int, key: bytes | None, value: bytes | None
) -> None:
    """Add what one record changes to the batch of its topic and partition.

    Raises UnreadableRecordError, also for a record without key or value: nothing in these topics is
    ever deleted.
    """
    if key is None or value is None:
        raise _unreadable(batch, offset, "it has no key or no value")
    if key == META_KEY:
        batch.meta = value
        return
    try:
        _APPLY[batch.topic](keys, batch, offset, key, value)
    except (DecodeError, StateKeyError, RecordError, UnicodeDecodeError) as error:
        raise _unreadable(batch, offset, str(error)) from error


def _state(keys: Keys, batch: TopicBatch, offset: int, key: bytes, value: bytes) -> None:
    if state_keys.letter_of(key) in _PASSED_OVER:
        return  # nine of ten records of a city
    state_key = state_keys.parse(key)
    if state_key is None:
        return
    if state_key.kind is StateKind.ENTITY:
        index = ENTITIES_INDEX.format(partition=batch.partition)
        terms = [Term(index, state_key.entity_key.encode())]
        batch.records[keys.entity(state_key.entity_key)] = record.encode(offset, terms, value)
    elif state_key.kind is StateKind.ALERT:
        terms = alert_index.terms(AlertThread.FromString(value).alert)
        batch.records[keys.alert(state_key.part)] = record.encode(offset, terms, value)


def _timeline(_keys: Keys, batch: TopicBatch, offset: int, key: bytes, value: bytes) -> None:
    entity_key, _, entry_id = key.decode().rpartition(state_keys.SEPARATOR)
    if not entity_key:
        raise StateKeyError(f"not a timeline key: {key!r} (时间线键格式错误)")
    entry = TimelineEntry.FromString(value)
    pointer = Pointer(
        pointers.milliseconds(entry.event_time), pointers.entry_hash(entry_id), offset
    )
    shown = entry.disposition != Disposition.DISPOSITION_MOVED
    fact = TimelineFact(pointer, value if shown else b"")
    batch.timelines.setdefault(entity_key, []).append(fact)


def _link(keys: Keys, batch: TopicBatch, offset: int, key: bytes, value: bytes) -> None:
    from_key = key.decode()
    link = LinkRecord.FromString(value)
    terms = [Term(LINKS_INDEX, key)]
    if link.to_key:
        terms.append(Term(ALIASES_INDEX.format(root=link.to_key), key))
    batch.records[keys.link(from_key)] = record.encode(offset, terms, value)


def _unreadable(batch: TopicBatch, offset: int, reason: str) -> UnreadableRecordError:
    return UnreadableRecordError(
        f"record {offset} of {batch.topic}/{batch.partition}: {reason} (记录无法解析)"
    )


_APPLY: Mapping[str, Callable[[Keys, TopicBatch, int, bytes, bytes], None]] = MappingProxyType(
    {LIFECYCLE: _state, TIMELINE: _timeline, LINKS: _link}
)
