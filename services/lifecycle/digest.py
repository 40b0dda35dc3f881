"""Digests of the live view: equal facts give equal digests, whatever crashed in between. Pure.

Offsets, append times with what is counted from them, and the numbering of units are left out: they
differ between two runs over the same facts. What belongs to no entity (positions, counts, bundles)
is left out as well.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.contracts.state_keys import StateKind


def _matter(value: bytes) -> Message:
    matter = state_pb2.MatterState.FromString(value)
    for slot in matter.slots:
        slot.ClearField("origin_offset")
    return matter


def _stub(value: bytes) -> Message:
    stub = state_pb2.SlotStub.FromString(value)
    stub.ClearField("origin_offset")
    return stub


def _thread(value: bytes) -> Message:
    thread = state_pb2.AlertThread.FromString(value)
    thread.alert.ClearField("raised_time")
    thread.alert.ClearField("update_time")
    # Counted from the day the alert was raised: an append time in another form.
    thread.alert.ClearField("acknowledge_due_date")
    thread.alert.ClearField("acknowledge_due_date_provisional")
    return thread


_CANONICAL: dict[StateKind, Callable[[bytes], Message]] = {
    StateKind.ENTITY: state_pb2.EntityState.FromString,
    StateKind.MATTER: _matter,
    StateKind.SLOT_STUB: _stub,
    StateKind.MONTH: state_pb2.MonthBucket.FromString,
    StateKind.YEAR: state_pb2.YearBucket.FromString,
    StateKind.ALERT: _thread,
}


@dataclass(frozen=True, slots=True)
class ViewDigest:
    """Digest of a set of state records (视图摘要)."""

    total: str
    """SHA-256, hex, over all entities."""
    entities: dict[str, str]
    """SHA-256, hex, by entity key."""
    records: int
    """Number of records that count."""


def digest_records(records: Iterable[tuple[bytes, bytes]]) -> ViewDigest:
    """Digest the latest record of each key; the order in which they come does not matter.

    Raises:
        StateKeyError: a key is not one of the state.
        DecodeError: a value is not the message its key says.
    """
    found = list(entity_digests(sorted(records)))
    entities = {each.entity_key: each.digest for each in found}
    total = total_digest(sorted((name.encode(), digest) for name, digest in entities.items()))
    return ViewDigest(total, entities, sum(each.records for each in found))


class EntityDigest(NamedTuple):
    """Digest of one entity's state records."""

    entity_key: str
    digest: str
    """SHA-256, hex."""
    records: int


def entity_digests(records: Iterable[tuple[bytes, bytes]]) -> Iterator[EntityDigest]:
    """Digest the records of one entity after the other, in memory for one record.

    ``records``: the latest of each key, in the order of keys. No part of a key holds the
    separator, so the records of one entity stand together then. Entities do not come in the order
    of their own keys. Raises what `digest_records` raises.
    """
    for entity_key, items in groupby(_canonical(records), key=itemgetter(0)):
        digest, count = hashlib.sha256(), 0
        for _, key, data in items:
            _add(digest, key, data)
            count += 1
        yield EntityDigest(entity_key, digest.hexdigest(), count)


def total_digest(entities: Iterable[tuple[bytes, str]]) -> str:
    """Return SHA-256, hex, over entity keys and their digests, given in the order of the keys."""
    return _sha((name, bytes.fromhex(digest)) for name, digest in entities)


def _canonical(records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, bytes, bytes]]:
    for key, value in records:
        parsed = state_keys.parse(key)
        if parsed is None:
            continue
        data = _CANONICAL[parsed.kind](value).SerializeToString(deterministic=True)
        # A bucket whose sums came to nothing is as if it had never been.
        if data:
            yield parsed.entity_key, key, data


def _sha(items: Iterable[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    for key, value in items:
        _add(digest, key, value)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", *parts: bytes) -> None:
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
