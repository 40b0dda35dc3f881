"""Folding one decoded event into the working set. Pure but for the store it reads through."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.decoding import DecodedEvent
from services.lifecycle.folding.contribution import Contribution, DayOf, contribution_of
from services.lifecycle.folding.entity import (
    add_to_periods,
    apply_change,
    check_bounds,
    sum_deltas,
    year_month_day,
)
from services.lifecycle.folding.facts import InvalidEventError, content_error
from services.lifecycle.folding.slots import (
    Verdict,
    event_time_ms,
    find_slot,
    judge,
    overflowing_slot,
    put,
)
from services.lifecycle.local_index import list_prefix
from services.lifecycle.timeline import slot_hash
from services.lifecycle.working_set import WorkingSet

_STANDING_FAMILY = "registration"
"""The family whose facts hold until others end them: no day bounds what they bear on.

Asked of the record and not of its matter: of what kind a matter is follows from all of its facts.
"""


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding one event did."""

    verdict: Verdict
    days: tuple[int, ...] = ()
    """Civil days of the fact before and after."""
    standing: bool = False
    link_changed: bool = False


def fold_event(working: WorkingSet, decoded: DecodedEvent, offset: int, day_of: DayOf) -> Folded:
    """Fold an event; InvalidEventError leaves the state as it was.

    Raises:
        InvalidEventError: another content stands under this version, or the body makes no sense.
    """
    envelope = decoded.event.envelope
    key = state_keys.matter_state(decoded.entity_key, envelope.matter_id)
    held = working.read(key, state_pb2.MatterState)
    matter = state_pb2.MatterState(matter_id=envelope.matter_id, entity_key=decoded.entity_key)
    if held is not None:
        matter.CopyFrom(held)
    slot = find_slot(matter, envelope.source_system, envelope.source_record_id)
    verdict = _judge(working, decoded, matter, slot)
    if verdict is not Verdict.APPLIED:
        return Folded(verdict)
    days = set() if slot is None else _days_of(slot, day_of)
    old = working.contribution(decoded.entity_key, envelope.matter_id, day_of)
    try:
        put(matter, decoded.family.name, decoded.event, decoded.payload_hash, offset)
        new = contribution_of(matter, day_of)
        pushed = _overflow(matter)
        kept = contribution_of(matter, day_of) if pushed else new
        check_bounds(working.entity(decoded.entity_key), old, new)
        if envelope.disposition == DISPOSITION_ASSERTED:
            days.add(day_of(envelope.event_time.ToMilliseconds()))
    except (ValueError, OverflowError, struct.error) as error:
        shown = str(error)[:200]
        raise content_error("body", shown, f"内容超出可处理范围({shown})") from error
    # Nothing was changed so far. From here on an error is a defect and must end the process.
    # What was pushed out leaves the lists and the stage of the matter, but stays in the day sums.
    change = replace(kept, sums=new.sums)
    link_changed = _bring_up_to_date(working, matter, old, change, kept)
    _write_stubs(working, matter, pushed)
    standing = decoded.family.name == _STANDING_FAMILY
    return Folded(Verdict.APPLIED, tuple(sorted(days)), standing, link_changed)


def _judge(
    working: WorkingSet,
    decoded: DecodedEvent,
    matter: state_pb2.MatterState,
    slot: state_pb2.Slot | None,
) -> Verdict:
    envelope = decoded.event.envelope
    if slot is not None:
        verdict = judge(slot.source_version, slot.payload_hash, envelope, decoded.payload_hash)
    else:
        stub = _stub(working, decoded) if matter.stub_count else None
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
    envelope = decoded.event.envelope
    name = slot_hash(envelope.source_system, envelope.source_record_id, envelope.matter_id)
    return working.read(state_keys.slot_stub(decoded.entity_key, name), state_pb2.SlotStub)


def _days_of(slot: state_pb2.Slot, day_of: DayOf) -> set[int]:
    holder = slot.WhichOneof("event")
    if slot.disposition != DISPOSITION_ASSERTED or holder is None:
        return set()
    return {day_of(getattr(slot, holder).envelope.event_time.ToMilliseconds())}


def _bring_up_to_date(
    working: WorkingSet,
    matter: state_pb2.MatterState,
    old: Contribution,
    new: Contribution,
    held: Contribution,
) -> bool:
    """Write the matter, which contributes ``held`` from now on, and change ``old`` into ``new``."""
    entity_key = matter.entity_key
    working.put_matter(matter, held)
    entity = working.change(state_keys.entity_state(entity_key), state_pb2.EntityState)
    entity.entity_key = entity_key
    linked_to = entity.linked_to

    def refill(name: str, group: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
        working.stage()
        prefix = list_prefix(entity_key, name)
        found = working.store.scan(prefix + group, reverse=True, limit=count)
        return ((key[len(prefix) :], value) for key, value in found)

    def first_time() -> int:
        working.stage()
        prefix = list_prefix(entity_key, "recent_facts")
        for _key, value in working.store.scan(prefix, limit=1):
            return int(state_pb2.RecentFact.FromString(value).event_time_ms)
        return 0

    apply_change(entity, old, new, refill, first_time)
    _update_buckets(working, entity_key, old, new)
    return entity.linked_to != linked_to


def _update_buckets(
    working: WorkingSet, entity_key: str, old: Contribution, new: Contribution
) -> None:
    months: dict[tuple[int, int], list[tuple[int, int, str, int]]] = {}
    years: dict[int, list[tuple[int, int, str, int]]] = {}
    for (day, counter, code), amount in sum_deltas(old, new).items():
        year, month, day_of_month = year_month_day(day)
        months.setdefault((year, month), []).append((day_of_month, counter, code, amount))
        years.setdefault(year, []).append((month, counter, code, amount))
    for (year, month), rows in months.items():
        key = state_keys.month_bucket(entity_key, year, month)
        add_to_periods(working.change(key, state_pb2.MonthBucket).days, rows)
    for year, rows in years.items():
        key = state_keys.year_bucket(entity_key, year)
        add_to_periods(working.change(key, state_pb2.YearBucket).months, rows)


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
