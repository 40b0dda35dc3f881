"""Folding one decoded event into the working set. Pure but for the store it reads through."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.decoding import DecodedEvent
from services.lifecycle.folding.contribution import Contribution, DayOf, contribution_of
from services.lifecycle.folding.entity import RECENT_FACTS, ListChange, apply_change, list_changes
from services.lifecycle.folding.facts import DaySums, InvalidEventError, content_error
from services.lifecycle.folding.slots import (
    Verdict,
    event_time_ms,
    find_slot,
    judge,
    overflowing_slot,
    put,
)
from services.lifecycle.folding.sums import (
    Deltas,
    add_to_periods,
    check_sums,
    sum_deltas,
    total_deltas,
    year_month_day,
)
from services.lifecycle.local_index import due_keys, list_prefix
from services.lifecycle.timeline import slot_hash
from services.lifecycle.working_set import WorkingSet

_STANDING_FAMILY = "registration"
"""The family whose facts hold until others end them: no day bounds what they bear on.

Asked of the record and not of its matter: of what kind a matter is follows from all of its facts.
"""


class Folded(NamedTuple):
    """What folding one event did."""

    verdict: Verdict
    days: tuple[int, ...] = ()
    """Civil days of the fact before and after."""
    standing: bool = False
    link_changed: bool = False


class _Planned(NamedTuple):
    """What a change of a matter does to its entity, worked out before anything is touched."""

    lists: dict[str, ListChange]
    days: DaySums
    totals: Deltas


def fold_event(working: WorkingSet, decoded: DecodedEvent, offset: int, day_of: DayOf) -> Folded:
    """Fold an event; InvalidEventError leaves the state as it was.

    Raises:
        InvalidEventError: another content stands under this version, or the body makes no sense.
    """
    envelope = decoded.envelope
    held = working.read(decoded.matter_key, state_pb2.MatterState)
    slot = None
    if held is not None:
        slot = find_slot(held, envelope.source_system, envelope.source_record_id)
    verdict = _judge(working, decoded, held, slot)
    if verdict is not Verdict.APPLIED:
        return Folded(verdict)
    days = set() if slot is None else _days_of(slot, day_of)
    matter = state_pb2.MatterState(matter_id=decoded.matter_id, entity_key=decoded.entity_key)
    if held is not None:
        matter.CopyFrom(held)
    old = working.contribution_at(decoded.matter_key, day_of)
    try:
        put(matter, decoded.family.name, decoded.event, decoded.payload_hash, offset)
        new = contribution_of(matter, day_of)
        pushed = _overflow(matter)
        # What was pushed out leaves the lists and the stage of the matter, but stays in the sums.
        kept = contribution_of(matter, day_of) if pushed else new
        if pushed:
            list_changes(old, new)  # refuses a fact that is too large even if it does not stay
        planned = _plan(working.entity(decoded.entity_key), old, new, kept)
        if envelope.disposition == DISPOSITION_ASSERTED:
            days.add(day_of(decoded.event_time_ms))
    except (ValueError, OverflowError, struct.error) as error:
        shown = str(error)[:200]
        raise content_error("body", shown, f"内容超出可处理范围({shown})") from error
    # Nothing was changed so far. From here on an error is a defect and must end the process.
    link_changed = _bring_up_to_date(working, decoded, matter, old, kept, planned)
    if pushed:
        _write_stubs(working, matter, pushed)
    standing = decoded.family.name == _STANDING_FAMILY
    return Folded(Verdict.APPLIED, tuple(sorted(days)), standing, link_changed)


def _plan(
    entity: state_pb2.EntityState, old: Contribution, new: Contribution, kept: Contribution
) -> _Planned:
    days = sum_deltas(old, new)
    totals = total_deltas(days, old, kept)
    lists = list_changes(old, kept)
    check_sums(entity.totals, totals)
    return _Planned(lists, days, totals)


def _judge(
    working: WorkingSet,
    decoded: DecodedEvent,
    held: state_pb2.MatterState | None,
    slot: state_pb2.Slot | None,
) -> Verdict:
    envelope = decoded.envelope
    if slot is not None:
        verdict = judge(slot.source_version, slot.payload_hash, envelope, decoded.payload_hash)
    else:
        stub = _stub(working, decoded) if held is not None and held.stub_count else None
        if stub is None:
            return Verdict.APPLIED
        verdict = judge(stub.source_version, stub.payload_hash, envelope, decoded.payload_hash)
        if verdict is Verdict.APPLIED:
            raise InvalidEventError(
                "MATTER_OVERFLOWED",
                "the matter holds too many facts; this old one is summed and cannot be corrected",
                "该事项记录过多,较早的记录已汇总,无法更正",
            )
    if verdict is Verdict.CONFLICT:
        raise InvalidEventError(
            "SOURCE_VERSION_CONFLICT",
            f"version {envelope.source_version} of this source record has another content",
            f"同一来源记录的第{envelope.source_version}版已有不同内容",
        )
    return verdict


def _stub(working: WorkingSet, decoded: DecodedEvent) -> state_pb2.SlotStub | None:
    envelope = decoded.envelope
    name = slot_hash(envelope.source_system, envelope.source_record_id, decoded.matter_id)
    return working.read(state_keys.slot_stub(decoded.entity_key, name), state_pb2.SlotStub)


def _days_of(slot: state_pb2.Slot, day_of: DayOf) -> set[int]:
    holder = slot.WhichOneof("event")
    if slot.disposition != DISPOSITION_ASSERTED or holder is None:
        return set()
    return {day_of(getattr(slot, holder).envelope.event_time.ToMilliseconds())}


def _bring_up_to_date(
    working: WorkingSet,
    decoded: DecodedEvent,
    matter: state_pb2.MatterState,
    old: Contribution,
    new: Contribution,
    planned: _Planned,
) -> bool:
    """Write the matter, which contributes ``new`` from now on; return whether the link changed."""
    entity_key = decoded.entity_key
    working.put_matter(decoded.matter_key, matter, new)
    _write_local(working, decoded, old, new, planned)
    entity = working.change(decoded.entity_state_key, state_pb2.EntityState)
    entity.entity_key = entity_key
    linked_to = entity.linked_to

    def refill(name: str, group: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
        prefix = list_prefix(entity_key, name)
        found = working.scan(prefix, group, reverse=True, limit=count)
        return ((key[len(prefix) :], value) for key, value in found)

    def first_time() -> int:
        for _key, value in working.scan(list_prefix(entity_key, RECENT_FACTS), limit=1):
            return int(state_pb2.RecentFact.FromString(value).event_time_ms)
        return 0

    recent = new.entries.get(RECENT_FACTS, {})
    apply_change(entity, planned.lists, planned.totals, recent, refill, first_time)
    _update_buckets(working, entity_key, planned.days)
    return bool(entity.linked_to != linked_to)


def _write_local(
    working: WorkingSet,
    decoded: DecodedEvent,
    old: Contribution,
    new: Contribution,
    planned: _Planned,
) -> None:
    """Change the local-only keys that follow from the matter, as `LocalIndex` would derive them."""
    for name, change in planned.lists.items():
        prefix = list_prefix(decoded.entity_key, name)
        for key in change.removed:
            working.put_local(prefix, key, None)
        for key, value in change.encoded.items():
            working.put_local(prefix, key, value)
    before = due_keys(decoded.entity_key, decoded.matter_id, old)
    after = due_keys(decoded.entity_key, decoded.matter_id, new)
    if before != after:
        for prefix, rest in before.difference(after):
            working.put_local(prefix, rest, None)
        for prefix, rest in after.difference(before):
            working.put_local(prefix, rest, b"")


def _update_buckets(working: WorkingSet, entity_key: str, days: DaySums) -> None:
    months: dict[tuple[int, int], dict[int, Deltas]] = {}
    years: dict[int, dict[int, Deltas]] = {}
    for (day, counter, code), amount in days.items():
        year, month, day_of_month = year_month_day(day)
        of_day = months.setdefault((year, month), {}).setdefault(day_of_month, {})
        of_day[counter, code] = amount
        of_month = years.setdefault(year, {}).setdefault(month, {})
        of_month[counter, code] = of_month.get((counter, code), 0) + amount
    for (year, month), deltas in months.items():
        key = state_keys.month_bucket(entity_key, year, month)
        add_to_periods(working.change(key, state_pb2.MonthBucket).days, deltas)
    for year, deltas in years.items():
        key = state_keys.year_bucket(entity_key, year)
        add_to_periods(working.change(key, state_pb2.YearBucket).months, deltas)


def _overflow(matter: state_pb2.MatterState) -> list[state_pb2.Slot]:
    """Take the oldest slots out of an overflowed matter, and return them."""
    pushed = []
    while (slot := overflowing_slot(matter)) is not None:
        out = state_pb2.Slot()
        out.CopyFrom(slot)
        pushed.append(out)
        matter.slots.remove(slot)
        matter.stub_count += 1
    return pushed


def _write_stubs(
    working: WorkingSet, matter: state_pb2.MatterState, pushed: list[state_pb2.Slot]
) -> None:
    """Leave a stub of every slot pushed out; the entity was first seen no later than with them."""
    for slot in pushed:
        name = slot_hash(slot.source_system, slot.source_record_id, matter.matter_id)
        stub = state_pb2.SlotStub(
            source_version=slot.source_version,
            payload_hash=slot.payload_hash,
            matter_id=matter.matter_id,
            origin_offset=slot.origin_offset,
        )
        working.put(state_keys.slot_stub(matter.entity_key, name), stub)
    times = [event_time_ms(slot) for slot in pushed if slot.disposition == DISPOSITION_ASSERTED]
    if times:
        entity = working.change(state_keys.entity_state(matter.entity_key), state_pb2.EntityState)
        first = min(times)
        entity.first_event_time_ms = min(entity.first_event_time_ms or first, first)
