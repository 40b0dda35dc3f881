"""One page of alert threads that pass a filter."""

from collections.abc import Sequence
from dataclasses import dataclass

from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter

from services.contracts.alert_filter import matcher
from services.readmodel import alert_index
from services.readmodel.reader import ReadModelReader

EXAMINED_MAX = 1_000
"""Threads examined for one page, whether they match or not."""
ROUND = 250
"""Threads examined at once."""
RANGE_MIN = 16


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Alerts, newest first, and the last member examined; None when none are left."""

    alerts: tuple[Alert, ...]
    last_member: bytes | None


async def alert_page(
    reader: ReadModelReader, alert_filter: AlertFilter, *, before: bytes | None, limit: int
) -> AlertPage:
    """Return the newest threads that match, strictly before a member.

    The smallest index that covers the filter is read; each thread found is then held against the
    whole filter. A page may be short, even empty, although more follow.
    """
    indexes = await _smallest_way(reader, alert_filter)
    matches = matcher(alert_filter)
    alerts: list[Alert] = []
    examined = 0
    while examined < EXAMINED_MAX:
        members, more = await _next_members(reader, indexes, before)
        threads = await reader.alerts([alert_index.alert_id_of(member) for member in members])
        for member, thread in zip(members, threads, strict=True):
            before = member
            examined += 1
            if thread is not None and matches(thread.alert):
                alerts.append(thread.alert)
            if len(alerts) == limit or examined == EXAMINED_MAX:
                return AlertPage(tuple(alerts), before)
        if not more:
            return AlertPage(tuple(alerts), None)
    return AlertPage(tuple(alerts), before)


async def _smallest_way(reader: ReadModelReader, alert_filter: AlertFilter) -> Sequence[str]:
    ways = alert_index.drivers(alert_filter)
    if len(ways) == 1:
        return ways[0]
    sizes = iter(await reader.index_sizes([index for way in ways for index in way]))
    totals = [sum(next(sizes) for _ in way) for way in ways]
    return ways[totals.index(min(totals))]


async def _next_members(
    reader: ReadModelReader, indexes: Sequence[str], before: bytes | None
) -> tuple[list[bytes], bool]:
    """Merge the next members of several indexes, highest first; tell whether more may follow.

    Below the lowest member of a range that was cut off, its index may hold more: what lies lower in
    the other ranges has to wait for the next round.
    """
    limit = max(RANGE_MIN, ROUND // len(indexes))
    ranges = await reader.index_ranges(indexes, before=before, limit=limit)
    cut = [members[-1] for members in ranges if len(members) == limit]
    floor = max(cut, default=b"")
    merged = sorted({m for members in ranges for m in members if m >= floor}, reverse=True)
    return merged[:ROUND], bool(cut) or len(merged) > ROUND
