"""Changing what an entity's capped list shows, in place. Pure.

Every entry that exists, shown or not, stands in the local index under its list, order and id. So a
list that lost an entry is refilled from there, and what a list shows depends on the set of entries
alone, not on the order in which they came.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.lists import CLAIMS, GROUP_BYTES, LISTS, ListSpec, attribute_of

Refill = Callable[[str, bytes, int], Iterator[tuple[bytes, bytes]]]
"""(list, group, n) → the n highest entries of the local index, descending: (sort key, bytes)."""


def update_list(
    entity: state_pb2.EntityState,
    name: str,
    removed: Collection[bytes],
    added: Mapping[bytes, Message],
    refill: Refill,
) -> None:
    """Bring one list of the entity up to date.

    ``refill`` must already see the removals and additions. It is asked only where an entry was
    taken out of a group of which not all entries are shown.
    """
    spec = LISTS[name]
    target = getattr(entity, name)
    if name != CLAIMS:
        _update_group(entity, spec, b"", range(len(target)), removed, added, refill)
        return
    attributes = [claim.attribute for claim in target]
    for group in sorted({key[:GROUP_BYTES] for key in (*removed, *added)}):
        attribute = attribute_of(group)
        span = range(bisect_left(attributes, attribute), bisect_right(attributes, attribute))
        out = [key for key in removed if key.startswith(group)]
        into = {key: entry for key, entry in added.items() if key.startswith(group)}
        grown = _update_group(entity, spec, group, span, out, into, refill)
        attributes[span.start : span.stop] = [attribute] * grown


def _update_group(
    entity: state_pb2.EntityState,
    spec: ListSpec,
    group: bytes,
    span: range,
    removed: Collection[bytes],
    added: Mapping[bytes, Message],
    refill: Refill,
) -> int:
    """Change what the list shows at ``span``, one group; return how many entries that are now.

    Entries not shown all lie below the lowest one shown. So where nothing was taken out, or enough
    is left above it and not fewer in all than before, the top is known without asking the index.
    """
    target = getattr(entity, spec.field)
    if not removed and len(added) == 1:
        return _add_one(entity, spec, group, span, *next(iter(added.items())))
    keys = [_key_at(spec, target, place) for place in span]
    truncated = _is_truncated(entity, spec.field, group)
    if truncated:
        floor = keys[0] if keys else b""
        after = (set(keys).difference(removed)) | added.keys()
        if len(added) < len(removed) or sum(key >= floor for key in after) < spec.cap:
            return _refilled(entity, spec, group, span, refill)
    for key in removed:
        if key in keys:
            place = keys.index(key)
            del keys[place]
            del target[span.start + place]
    for key, entry in added.items():
        place = bisect_left(keys, key)
        if place < len(keys) and keys[place] == key:
            target[span.start + place].CopyFrom(entry)
        else:
            keys.insert(place, key)
            target.insert(span.start + place, entry)
    excess = len(keys) - spec.cap
    if excess > 0:
        del target[span.start : span.start + excess]
    if not truncated:
        _set_truncated(entity, spec.field, group, truncated=excess > 0)
    return min(len(keys), spec.cap)


def _add_one(
    entity: state_pb2.EntityState,
    spec: ListSpec,
    group: bytes,
    span: range,
    key: bytes,
    entry: Message,
) -> int:
    """Add one entry, which is what nearly every event asks for: nearly always at the end."""
    target = getattr(entity, spec.field)
    start, place = span.start, span.stop
    while place > start:
        below = _key_at(spec, target, place - 1)
        if below == key:
            target[place - 1].CopyFrom(entry)
            return len(span)
        if below < key:
            break
        place -= 1
    if len(span) < spec.cap:
        target.insert(place, entry)
        return len(span) + 1
    if place > start:
        target.insert(place, entry)
        del target[start]
    _set_truncated(entity, spec.field, group, truncated=True)
    return len(span)


def _refilled(
    entity: state_pb2.EntityState, spec: ListSpec, group: bytes, span: range, refill: Refill
) -> int:
    """Show the highest entries that the local index holds."""
    target = getattr(entity, spec.field)
    found = [value for _key, value in refill(spec.field, group, spec.cap + 1)]
    del target[span.start : span.stop]
    shown = found[: spec.cap]
    for value in shown:
        target.insert(span.start, spec.entry.FromString(value))
    _set_truncated(entity, spec.field, group, truncated=len(found) > spec.cap)
    return len(shown)


def _key_at(spec: ListSpec, target: Any, place: int) -> bytes:
    entry = target[place]
    return spec.order(entry) + spec.identity(entry).encode()


@lru_cache(maxsize=64)
def _label(name: str, group: bytes) -> str:
    return f"{name}/{group.hex()}" if group else name


def _is_truncated(entity: state_pb2.EntityState, name: str, group: bytes) -> bool:
    return _label(name, group) in entity.truncated_lists


def _set_truncated(
    entity: state_pb2.EntityState, name: str, group: bytes, *, truncated: bool
) -> None:
    label = _label(name, group)
    labels = entity.truncated_lists
    if truncated == (label in labels):
        return
    if truncated:
        labels.append(label)
        labels.sort()
    else:
        labels.remove(label)
