"""The capped lists of an entity: what orders them, how many entries stay, and how one is refilled.

Every entry that exists, shown or not, stands in the local index under its list, order and id. So a
list that lost an entry is refilled from there, and what a list shows depends on the set of entries
alone, not on the order in which they came.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

_BIAS = 1 << 63


def _order(*numbers: int) -> bytes:
    """Big-endian bytes that sort as the numbers do, negative ones included."""
    return struct.pack(f">{len(numbers)}Q", *(number + _BIAS for number in numbers))


@dataclass(frozen=True, slots=True)
class ListSpec:
    """One capped list: field of EntityState, cap, entry type, order bytes and id of an entry."""

    field: str
    cap: int
    entry: type[Message]
    order: Callable[[Any], bytes]
    identity: Callable[[Any], str]


LISTS: dict[str, ListSpec] = {
    spec.field: spec
    for spec in (
        ListSpec(
            "claims",
            3,
            state_pb2.AttributeClaim,
            lambda e: _order(e.attribute, e.rank, e.event_time_ms),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "registration_facts",
            16,
            state_pb2.StatusFact,
            lambda e: _order(e.event_time_ms),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "listings",
            8,
            state_pb2.ListingState,
            lambda e: _order(e.listed_time_ms or e.removed_time_ms),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "licences",
            16,
            state_pb2.LicenceState,
            lambda e: _order(e.to_day),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "matters",
            10,
            state_pb2.MatterDigest,
            lambda e: _order(int(e.open), e.last_time_ms),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "inspections",
            8,
            state_pb2.InspectionDigest,
            lambda e: _order(e.event_time_ms),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "penalties",
            8,
            state_pb2.PenaltyDigest,
            lambda e: _order(e.decided_time_ms),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "recent_facts",
            12,
            state_pb2.RecentFact,
            lambda e: _order(e.event_time_ms),
            lambda e: str(e.slot_key),
        ),
    )
}
"""All lists. Of `claims` the cap holds for each attribute."""


def entry_key(name: str, entry: Message) -> tuple[str, bytes]:
    """List name and sort key (order ‖ id) of an entry."""
    spec = LISTS[name]
    return name, spec.order(entry) + spec.identity(entry).encode()


def group_of(name: str, sort_key: bytes) -> bytes:
    """The leading bytes of a sort key within which the cap holds: of a claim its attribute."""
    return sort_key[:8] if name == "claims" else b""


Refill = Callable[[str, bytes, int], Iterator[tuple[bytes, bytes]]]
"""(list, group, n) → the n highest entries of the local index, descending: (sort key, bytes)."""


def update_list(
    entity: state_pb2.EntityState,
    name: str,
    removed: Iterable[bytes],
    added: dict[bytes, Message],
    refill: Refill,
) -> None:
    """Bring one list of the entity up to date.

    ``refill`` must already see the removals and additions. It is asked only where an entry was
    taken out of a group of which not all entries are shown.
    """
    spec = LISTS[name]
    shown: dict[bytes, Message] = {
        spec.order(e) + spec.identity(e).encode(): e for e in getattr(entity, name)
    }
    refilled: set[bytes] = set()
    for key in removed:
        group = group_of(name, key)
        if shown.pop(key, None) is not None and _is_truncated(entity, name, group):
            refilled.add(group)
    shown.update(added)
    for group in {group_of(name, key) for key in added} | refilled:
        members = sorted(key for key in shown if group_of(name, key) == group)
        if group in refilled:
            for key in members:
                del shown[key]
            found = list(refill(name, group, spec.cap + 1))
            _set_truncated(entity, name, group, truncated=len(found) > spec.cap)
            shown.update((key, spec.entry.FromString(value)) for key, value in found[: spec.cap])
        elif len(members) > spec.cap:
            for key in members[: -spec.cap]:
                del shown[key]
            _set_truncated(entity, name, group, truncated=True)
    entries = [shown[key] for key in sorted(shown)]
    target = getattr(entity, name)
    del target[:]
    target.extend(entries)


def _label(name: str, group: bytes) -> str:
    return f"{name}/{group.hex()}" if group else name


def _is_truncated(entity: state_pb2.EntityState, name: str, group: bytes) -> bool:
    return _label(name, group) in entity.truncated_lists


def _set_truncated(
    entity: state_pb2.EntityState, name: str, group: bytes, *, truncated: bool
) -> None:
    label = _label(name, group)
    labels = set(entity.truncated_lists)
    if truncated != (label in labels):
        labels ^= {label}
        del entity.truncated_lists[:]
        entity.truncated_lists.extend(sorted(labels))
