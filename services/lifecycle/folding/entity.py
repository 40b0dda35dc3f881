"""Bringing an entity and its buckets up to date: old contribution out, new contribution in."""

from collections import Counter as Multiset
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.contribution import Contribution
from services.lifecycle.folding.facts import EPOCH_ORDINAL, content_error
from services.lifecycle.folding.lists import Refill, update_list

Sums = RepeatedCompositeFieldContainer[state_pb2.CounterSum]
Periods = RepeatedCompositeFieldContainer[state_pb2.PeriodSum]
ENTRY_BYTES_MAX = 16 * 1024
"""Largest entry of a list: all lists full of such entries fit the entity's record."""
CODE_LENGTH_MAX = 200
"""Longest code that is counted, in characters."""
SUM_MAX = (1 << 63) - 1
FirstTime = Callable[[], int]
"""Event time of the oldest standing fact in the local index, milliseconds; 0 when there is none."""


def apply_change(
    entity: state_pb2.EntityState,
    old: Contribution,
    new: Contribution,
    refill: Refill,
    first_time: FirstTime,
) -> None:
    """Bring the entity up to date. ``refill`` and ``first_time`` already see the change."""
    removed: dict[str, list[bytes]] = defaultdict(list)
    added: dict[str, dict[bytes, Message]] = defaultdict(dict)
    for (name, key), entry in old.entries.items():
        if new.entries.get((name, key)) != entry:
            removed[name].append(key)
    for (name, key), entry in new.entries.items():
        if old.entries.get((name, key)) != entry:
            added[name][key] = entry
    for name in sorted(removed.keys() | added.keys()):
        update_list(entity, name, removed[name], added[name], refill)
    _update_totals(entity, old, new)
    _update_times(entity, old, new, first_time)
    entity.linked_to = _claimed(entity, state_pb2.ATTRIBUTE_KIND_LINKED_TO)


def _claimed(entity: state_pb2.EntityState, attribute: int) -> str:
    value = ""
    for claim in entity.claims:
        if claim.attribute == attribute:
            value = claim.value
    return value


def _update_totals(entity: state_pb2.EntityState, old: Contribution, new: Contribution) -> None:
    delta: Multiset[tuple[int, str]] = Multiset()
    for (_day, counter, code), amount in new.sums.items():
        delta[counter, code] += amount
    for (_day, counter, code), amount in old.sums.items():
        delta[counter, code] -= amount
    for key, amount in new.totals.items():
        delta[key] += amount
    for key, amount in old.totals.items():
        delta[key] -= amount
    changed = {key: amount for key, amount in delta.items() if amount}
    if changed:
        _merge(entity.totals, changed)


def _merge(sums: Sums, delta: dict[tuple[int, str], int]) -> None:
    """Add ``delta`` to a sorted repeated CounterSum; what comes to 0 goes."""
    missing = dict(delta)
    emptied = []
    for held in sums:
        amount = missing.pop((held.counter, held.code), 0)
        if amount:
            held.sum += amount
            if held.sum == 0:
                emptied.append(held)
    for held in emptied:
        sums.remove(held)
    if missing:
        for (counter, code), amount in missing.items():
            sums.add(counter=counter, code=code, sum=amount)
        sums.sort(key=lambda held: (held.counter, held.code))


def _update_times(
    entity: state_pb2.EntityState, old: Contribution, new: Contribution, first_time: FirstTime
) -> None:
    entity.last_event_time_ms = entity.recent_facts[-1].event_time_ms if entity.recent_facts else 0
    gone = {key for key in old.entries if key not in new.entries}
    times = [e.event_time_ms for (n, k), e in new.entries.items() if n == "recent_facts"]  # type: ignore[attr-defined]
    removed_first = any(
        old.entries[key].event_time_ms == entity.first_event_time_ms  # type: ignore[attr-defined]
        for key in gone
        if key[0] == "recent_facts"
    )
    if removed_first:
        entity.first_event_time_ms = first_time()
    elif times:
        known = entity.first_event_time_ms
        entity.first_event_time_ms = min(times) if known == 0 else min(known, *times)


def check_bounds(entity: state_pb2.EntityState, old: Contribution, new: Contribution) -> None:
    """Refuse what the entity's record could not hold, before anything is changed.

    Raises:
        InvalidEventError: an entry or a code is too large, or a total would leave 64 bits. Amounts
            are never negative, so no sum of a day or a month is larger than the total.
    """
    for (name, _key), entry in new.entries.items():
        if entry.ByteSize() > ENTRY_BYTES_MAX:
            en = f"an entry of {entry.ByteSize()} bytes, at most {ENTRY_BYTES_MAX} fit"
            raise content_error(name, en, f"条目过大,上限{ENTRY_BYTES_MAX}字节")
    rises: Multiset[tuple[int, str]] = Multiset()
    for (_day, counter, code), amount in sum_deltas(old, new).items():
        if len(code) > CODE_LENGTH_MAX:
            en = f"a code of {len(code)} characters, at most {CODE_LENGTH_MAX} fit"
            raise content_error("code", en, f"代码过长,上限{CODE_LENGTH_MAX}字符")
        rises[counter, code] += amount
    for held in entity.totals:
        total = held.sum + rises.get((held.counter, held.code), 0)
        if total > SUM_MAX:
            name = state_pb2.Counter.Name(held.counter)
            raise content_error(name, f"the sum would be {total}", f"累计值将为{total},超出范围")


def sum_deltas(old: Contribution, new: Contribution) -> dict[tuple[int, int, str], int]:
    """Changes of the day sums, without those that come to 0: (day, counter, code) → amount."""
    delta = Multiset(new.sums)
    delta.subtract(old.sums)
    return {key: amount for key, amount in delta.items() if amount}


def year_month_day(day: int) -> tuple[int, int, int]:
    """Calendar date of a day since 1970-01-01."""
    value = date.fromordinal(day + EPOCH_ORDINAL)
    return value.year, value.month, value.day


def add_to_periods(periods: Periods, deltas: Iterable[tuple[int, int, str, int]]) -> None:
    """Add (period, counter, code, amount) rows to a sorted repeated PeriodSum; empty ones go."""
    by_period: dict[int, dict[tuple[int, str], int]] = defaultdict(dict)
    for period, counter, code, amount in deltas:
        row = by_period[period]
        row[counter, code] = row.get((counter, code), 0) + amount
    for held in list(periods):
        delta = by_period.pop(held.period, None)
        if delta is not None:
            _merge(held.sums, delta)
            if not held.sums:
                periods.remove(held)
    if by_period:
        for period, delta in by_period.items():
            _merge(periods.add(period=period).sums, delta)
        periods.sort(key=lambda held: held.period)
