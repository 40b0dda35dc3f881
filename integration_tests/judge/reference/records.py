"""The records that the state topic must hold of a picture: key → message. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.reference.entity import (
    LISTS,
    Picture,
    day_sums,
    picture_of,
    shown,
    totals_of,
)
from integration_tests.judge.reference.facts import date_of
from integration_tests.judge.reference.matter_records import matter_state
from integration_tests.judge.reference.slots import Slots


def picture(slots: Slots, entity_key: str) -> Picture:
    """Return the picture of an entity from its slots."""
    matters = slots.matters_of(entity_key)
    summed = [event for matter in matters.values() for event in matter.summed.values()]
    return picture_of(
        entity_key, {name: list(matter.held.values()) for name, matter in matters.items()}, summed
    )


def records_of(slots: Slots, entity_key: str, drawn: Picture) -> dict[bytes, Message]:
    """Return every record of an entity but its alert threads, and what they say of open alerts."""
    records: dict[bytes, Message] = {f"{entity_key}|e".encode(): entity_state(drawn)}
    for matter_id, matter in slots.matters_of(entity_key).items():
        key = f"{entity_key}|t|{matter_id}".encode()
        records[key] = matter_state(entity_key, matter_id, matter.held, len(matter.summed))
        for event in matter.summed.values():
            text = "\0".join((*event.slot, matter_id))
            name = hashlib.sha256(text.encode()).hexdigest()[:32]
            records[f"{entity_key}|s|{name}".encode()] = state_pb2.SlotStub(
                source_version=event.version,
                payload_hash=event.payload_hash,
                matter_id=matter_id,
                origin_offset=event.record.offset,
            )
    records.update(_buckets(drawn))
    return records


def entity_state(drawn: Picture) -> state_pb2.EntityState:
    """Return the live view of an entity, but for its open alerts."""
    state = state_pb2.EntityState(entity_key=drawn.entity_key)
    labels: list[str] = []
    for name in LISTS:
        entries, noted = shown(drawn, name)
        getattr(state, name).extend(entries)
        labels += noted
    state.truncated_lists.extend(sorted(labels))
    for (counter, code), total in sorted(totals_of(drawn).items()):
        if total:
            state.totals.add(counter=counter, code=code, sum=total)
    standing = [fact.time_ms for matter in drawn.matters.values() for fact in matter.facts]
    state.last_event_time_ms = max(standing, default=0)
    ever = (*standing, *(fact.time_ms for fact in drawn.summed_facts))
    state.first_event_time_ms = min(ever, default=0)
    for claim in drawn.lists["claims"]:
        if claim.attribute == state_pb2.ATTRIBUTE_KIND_LINKED_TO:
            state.linked_to = claim.value
    return state


def _buckets(drawn: Picture) -> dict[bytes, Message]:
    days: dict[str, dict[int, list[tuple[int, str, int]]]] = {}
    months: dict[str, dict[int, dict[tuple[int, str], int]]] = {}
    for day, counter, code, amount in day_sums(drawn):
        on = date_of(day)
        rows = days.setdefault(f"{on.year:04d}-{on.month:02d}", {})
        rows.setdefault(on.day, []).append((counter, code, amount))
        sums = months.setdefault(f"{on.year:04d}", {}).setdefault(on.month, {})
        sums[counter, code] = sums.get((counter, code), 0) + amount
    found: dict[bytes, Message] = {}
    for name, by_day in days.items():
        month = state_pb2.MonthBucket(days=_periods(by_day))
        found[f"{drawn.entity_key}|m|{name}".encode()] = month
    for name, by_month in months.items():
        rows = {n: [(*key, amount) for key, amount in s.items()] for n, s in by_month.items()}
        year = state_pb2.YearBucket(months=_periods(rows))
        found[f"{drawn.entity_key}|y|{name}".encode()] = year
    return found


def _periods(rows: Mapping[int, Sequence[tuple[int, str, int]]]) -> list[Any]:
    return [
        state_pb2.PeriodSum(
            period=period,
            sums=[
                state_pb2.CounterSum(counter=counter, code=code, sum=amount)  # type: ignore[arg-type]
                for counter, code, amount in sorted(rows[period])
            ],
        )
        for period in sorted(rows)
    ]
