"""Digests of the live view: equal facts give equal digests, whatever crashed in between. Pure.

Offsets, append times with what is counted from them, and the numbering of units are left out: they
differ between two runs over the same facts. What belongs to no entity (positions, counts, bundles)
is left out as well.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
    parts: dict[str, list[tuple[bytes, bytes]]] = {}
    count = 0
    for key, value in records:
        parsed = state_keys.parse(key)
        if parsed is None:
            continue
        message = _CANONICAL[parsed.kind](value)
        data = message.SerializeToString(deterministic=True)
        if not data:
            continue  # a bucket whose sums came to nothing: as if it had never been
        parts.setdefault(parsed.entity_key, []).append((key, data))
        count += 1
    entities = {entity: _sha(sorted(items)) for entity, items in parts.items()}
    total = _sha(sorted((name.encode(), bytes.fromhex(d)) for name, d in entities.items()))
    return ViewDigest(total, entities, count)


def _sha(items: Iterable[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    for key, value in items:
        for part in (key, value):
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
    return digest.hexdigest()
