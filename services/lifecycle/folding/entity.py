"""Bringing an entity up to date: a matter's old contribution out, its new contribution in. Pure.

What changes is worked out first, as bytes too, and checked; only then is anything touched.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.contribution import Contribution, Entries
from services.lifecycle.folding.encoding import encoded
from services.lifecycle.folding.facts import content_error
from services.lifecycle.folding.list_update import Refill, update_list
from services.lifecycle.folding.lists import CLAIMS, claim_group, time_of
from services.lifecycle.folding.sums import Deltas, merge

ENTRY_BYTES_MAX = 16 * 1024
"""Largest entry of a list: all lists full of such entries fit the entity's record."""
FirstTime = Callable[[], int]
"""Event time of the oldest standing fact in the local index, milliseconds; 0 when there is none."""

RECENT_FACTS = "recent_facts"
_LINKED_TO = claim_group(state_pb2.ATTRIBUTE_KIND_LINKED_TO)
_NONE: Entries = {}


class ListChange(NamedTuple):
    """What a change of one matter takes out of one list and puts into it, by sort key.

    An entry that was changed in its place is in all three.
    """

    removed: list[bytes]
    added: Mapping[bytes, Message]
    encoded: Mapping[bytes, bytes]
    """Bytes of what is added, for the local index."""


def list_changes(old: Contribution, new: Contribution) -> dict[str, ListChange]:
    """Compare two contributions of one matter, list by list.

    Raises:
        InvalidEventError: an entry is too large for the entity's record.
    """
    changes: dict[str, ListChange] = {}
    for name in sorted(old.entries.keys() | new.entries.keys()):
        before, after = old.entries.get(name, _NONE), new.entries.get(name, _NONE)
        removed: list[bytes] = []
        added: Mapping[bytes, Message] = after
        if before:
            removed = [key for key, entry in before.items() if after.get(key) != entry]
            added = {key: entry for key, entry in after.items() if before.get(key) != entry}
        if removed or added:
            changes[name] = ListChange(removed, added, _checked(name, added))
    return changes


def _checked(name: str, added: Mapping[bytes, Message]) -> dict[bytes, bytes]:
    values = {key: encoded(entry) for key, entry in added.items()}
    for value in values.values():
        if len(value) > ENTRY_BYTES_MAX:
            en = f"an entry of {len(value)} bytes, at most {ENTRY_BYTES_MAX} fit"
            raise content_error(name, en, f"条目过大,上限{ENTRY_BYTES_MAX}字节")
    return values


def apply_change(
    entity: state_pb2.EntityState,
    changes: Mapping[str, ListChange],
    totals: Deltas,
    recent: Entries,
    refill: Refill,
    first_time: FirstTime,
) -> None:
    """Bring the entity up to date.

    ``recent``: all facts of the matter that stand now. ``refill`` and ``first_time`` already see
    the change.
    """
    for name, change in changes.items():
        update_list(entity, name, change.removed, change.added, refill)
    if totals:
        merge(entity.totals, totals)
    _update_times(entity, changes, recent, first_time)
    if CLAIMS in changes:
        change = changes[CLAIMS]
        if any(key.startswith(_LINKED_TO) for key in (*change.removed, *change.added)):
            entity.linked_to = _linked_to(entity)


def _linked_to(entity: state_pb2.EntityState) -> str:
    value = ""
    for claim in entity.claims:
        if claim.attribute == state_pb2.ATTRIBUTE_KIND_LINKED_TO:
            value = claim.value
    return value


def _update_times(
    entity: state_pb2.EntityState,
    changes: Mapping[str, ListChange],
    recent: Entries,
    first_time: FirstTime,
) -> None:
    entity.last_event_time_ms = entity.recent_facts[-1].event_time_ms if entity.recent_facts else 0
    known = entity.first_event_time_ms
    removed = changes[RECENT_FACTS].removed if RECENT_FACTS in changes else []
    if any(time_of(key) == known for key in removed if key not in recent):
        entity.first_event_time_ms = first_time()
    elif recent:
        oldest = time_of(min(recent))
        entity.first_event_time_ms = oldest if known == 0 else min(known, oldest)
