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


_pack1 = struct.Struct(">Q").pack
_pack2 = struct.Struct(">QQ").pack
_pack3 = struct.Struct(">QQQ").pack
# Big-endian bytes of numbers moved by _BIAS sort as the numbers do, negative ones included.


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
            lambda e: _pack3(e.attribute + _BIAS, e.rank + _BIAS, e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "registration_facts",
            16,
            state_pb2.StatusFact,
            lambda e: _pack1(e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "listings",
            8,
            state_pb2.ListingState,
            lambda e: _pack1((e.listed_time_ms or e.removed_time_ms) + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "licences",
            16,
            state_pb2.LicenceState,
            lambda e: _pack1(e.to_day + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "matters",
            10,
            state_pb2.MatterDigest,
            lambda e: _pack2(int(e.open) + _BIAS, e.last_time_ms + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "inspections",
            8,
            state_pb2.InspectionDigest,
            lambda e: _pack1(e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "penalties",
            8,
            state_pb2.PenaltyDigest,
            lambda e: _pack1(e.decided_time_ms + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "recent_facts",
            12,
            state_pb2.RecentFact,
            lambda e: _pack1(e.event_time_ms + _BIAS),
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
    removed = list(removed)
    if not removed and len(added) == 1 and _append(entity, spec, *next(iter(added.items()))):
        return
    shown: dict[bytes, Message] = {
        spec.order(e) + spec.identity(e).encode(): e for e in getattr(entity, name)
    }
    touched = {group_of(name, key) for key in (*removed, *added)}
    groups: dict[bytes, dict[bytes, Message]] = {group: {} for group in touched}
    for key, entry in shown.items():
        groups.setdefault(group_of(name, key), {})[key] = entry
    for group in sorted(touched):
        out = [key for key in removed if group_of(name, key) == group]
        into = {key: entry for key, entry in added.items() if group_of(name, key) == group}
        groups[group] = _update_group(entity, spec, group, groups[group], out, into, refill)
    entries = [entry for group in groups.values() for entry in group.items()]
    entries.sort(key=lambda item: item[0])
    target = getattr(entity, name)
    del target[:]
    target.extend(entry for _key, entry in entries)


def _update_group(
    entity: state_pb2.EntityState,
    spec: ListSpec,
    group: bytes,
    shown: dict[bytes, Message],
    removed: list[bytes],
    added: dict[bytes, Message],
    refill: Refill,
) -> dict[bytes, Message]:
    """Return what a group shows now, and note whether entries exist beyond it."""
    truncated = _is_truncated(entity, spec.field, group)
    floor = min(shown, default=b"")
    after = {key: entry for key, entry in shown.items() if key not in removed} | added
    # Entries not shown all lie below the floor: with enough above it, and not fewer in all than
    # before, the top is known without asking the index.
    known = not truncated or (
        len(added) >= len(removed) and sum(key >= floor for key in after) >= spec.cap
    )
    if not known:
        found = list(refill(spec.field, group, spec.cap + 1))
        after = {key: spec.entry.FromString(value) for key, value in found}
    if not known or not truncated:
        _set_truncated(entity, spec.field, group, truncated=len(after) > spec.cap)
    return {key: after[key] for key in sorted(after)[-spec.cap :]}


def _append(entity: state_pb2.EntityState, spec: ListSpec, key: bytes, entry: Message) -> bool:
    """Add the newest entry of a list at its end, which is what nearly every event asks for."""
    target = getattr(entity, spec.field)
    if spec.field == "claims":
        return False
    if target:
        last = target[-1]
        if key < spec.order(last) + spec.identity(last).encode():
            return False
    target.append(entry)
    if len(target) > spec.cap:
        del target[0]
        _set_truncated(entity, spec.field, b"", truncated=True)
    return True


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
