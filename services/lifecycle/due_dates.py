"""Dates that pass: which matters a tick has to look at again. Pure but for the store it scans."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.local_index import due_prefix, parse_due_key
from services.lifecycle.working_set import WorkingSet

FIRED_MAX = 500
"""Dates acted on in one unit of work; the rest goes on in the next."""
GO_BACK_DAYS_MAX = 731
"""How far behind a new kind of date is looked for, whatever the rule's max age."""


@dataclass(frozen=True, slots=True)
class DueMatter:
    """One matter one of whose dates has come."""

    entity_key: str
    matter_id: str
    anchor: str
    due_day: int
    """The day on which a rule wants to look: the anchor's day moved by the rule's offset."""
    due_key: str
    """Name of the date, for the alert's cause."""


def cursor_key(scheme: str) -> bytes:
    """Key of the cursor of one key scheme."""
    return f"!due|{scheme}".encode()


def ensure_cursor(working: WorkingSet, scheme: str, now_day: int, waits: Mapping[str, int]) -> None:
    """Begin a scheme's cursor: what came before today is looked at when the event is folded."""
    if working.read(cursor_key(scheme), state_pb2.DueCursor) is None:
        cursor = working.change(cursor_key(scheme), state_pb2.DueCursor)
        cursor.day_done = now_day
        cursor.waits.extend(sorted(waits))


def take_over(working: WorkingSet, scheme: str, today: int, waits: Mapping[str, int]) -> None:
    """Go back where a bundle in force waits for dates that the one before did not wait for.

    ``waits``: `<rule id>|<anchor>|<offset>` → days that the rule looks back. The matters whose new
    date lies behind the cursor would never be looked at; those within that age are, at most
    GO_BACK_DAYS_MAX back. Looking twice at a date that was acted on changes nothing.
    """
    cursor = working.read(cursor_key(scheme), state_pb2.DueCursor)
    if cursor is None or list(cursor.waits) == sorted(waits):
        return
    added = waits.keys() - set(cursor.waits)
    cursor = working.change(cursor_key(scheme), state_pb2.DueCursor)
    del cursor.waits[:]
    cursor.waits.extend(sorted(waits))
    if added:
        back = min(max(waits[name] for name in added), GO_BACK_DAYS_MAX)
        cursor.day_done = min(cursor.day_done, today - back - 1)
        cursor.resume_key = b""


def is_due(working: WorkingSet, scheme: str, today: int, waits: Mapping[str, int]) -> bool:
    """Whether a tick has anything to do: a day has come, or the rules wait for other dates."""
    cursor = working.read(cursor_key(scheme), state_pb2.DueCursor)
    return cursor is not None and (cursor.day_done < today or list(cursor.waits) != sorted(waits))


def fire(
    working: WorkingSet,
    scheme: str,
    today: int,
    waits: Sequence[tuple[str, int]],
    budget: int,
) -> Iterator[DueMatter]:
    """Yield at most ``budget`` matters whose dates have come, and move the cursor past them.

    ``waits``: (anchor, offset in days) that the rules in force name. The cursor stands at ``today``
    when everything was yielded; `is_done` tells. Consume the iterator whole.
    """
    cursor = working.change(cursor_key(scheme), state_pb2.DueCursor)
    while cursor.day_done < today and budget > 0:
        day = cursor.day_done + 1
        for anchor, offset, prefix, key in _entries(working, scheme, day, waits, cursor.resume_key):
            if budget == 0:
                cursor.resume_key = _resume(anchor, offset, key)
                return
            entity_key, matter_id, held_anchor = parse_due_key(key, prefix)
            if held_anchor == anchor:
                budget -= 1
                name = f"{scheme}|{matter_id}|{anchor}|{day}"
                yield DueMatter(entity_key, matter_id, anchor, day, name)
        cursor.day_done, cursor.resume_key = day, b""


def is_done(working: WorkingSet, scheme: str, today: int) -> bool:
    """Whether every date up to today was acted on."""
    cursor = working.read(cursor_key(scheme), state_pb2.DueCursor)
    return cursor is None or cursor.day_done >= today


def _resume(anchor: str, offset: int, key: bytes) -> bytes:
    return f"{anchor}|{offset}|".encode() + key


def _entries(
    working: WorkingSet,
    scheme: str,
    day: int,
    waits: Sequence[tuple[str, int]],
    resume: bytes,
) -> Iterator[tuple[str, int, bytes, bytes]]:
    """(anchor, offset, prefix, key) of a day's dates in a fixed order, from ``resume`` on."""
    started = not resume
    for anchor, offset in sorted(waits):
        prefix = due_prefix(scheme, day - offset)
        start = prefix
        if not started:
            mark = _resume(anchor, offset, b"")
            if not resume.startswith(mark):
                continue
            started, start = True, resume[len(mark) :]
        while True:
            page = list(working.scan(prefix, start=start, limit=FIRED_MAX + 1))
            for key, _value in page[:FIRED_MAX]:
                yield anchor, offset, prefix, key
            if len(page) <= FIRED_MAX:
                break
            start = page[FIRED_MAX][0]
