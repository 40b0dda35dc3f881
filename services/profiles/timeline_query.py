"""One page of an entity's timeline, over all its keys."""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from services.contracts.state_keys import SEPARATOR
from services.profiles.timeline_log import TimelineLog, Wanted
from services.readmodel.keys import partition_of
from services.readmodel.pointers import Pointer
from services.readmodel.reader import ReadModelReader
from services.runtime.errors import NotReadyError

REREADS_MAX = 3
"""How often a pointer that a newer version overtook is read again."""
REREAD_SECONDS = 0.05


@dataclass(slots=True)
class _Place:
    entity_key: str
    pointer: Pointer
    message: bytes | None


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Entries, newest first, and the place to go on after; None at the end."""

    entries: tuple[TimelineEntry, ...]
    last_place: bytes | None


async def timeline_page(
    reader: ReadModelReader,
    log: TimelineLog,
    entity_keys: Sequence[str],
    *,
    before: bytes | None,
    limit: int,
) -> TimelinePage:
    """Return the ``limit`` newest facts strictly before a place, merged over the entity's keys.

    Writes between pages neither repeat nor hide a fact that did not itself change its place. Raises
    NotReadyError when an entry can be found neither in Redis nor in the log for now.
    """
    readings = [
        (key, await reader.timeline(key, before=before, limit=limit + 1)) for key in entity_keys
    ]
    places = heapq.nlargest(
        limit + 1,
        (_Place(key, p.pointer, p.message) for key, reading in readings for p in reading.places),
        key=lambda place: place.pointer.place(),
    )
    page = places[:limit]
    await _complete(reader, log, page)
    entries = (TimelineEntry.FromString(place.message or b"") for place in page)
    return TimelinePage(
        # A fact that was moved away while it was being read is not shown here any more.
        tuple(e for e in entries if e.disposition != Disposition.DISPOSITION_MOVED),
        page[-1].pointer.place() if len(places) > limit else None,
    )


async def _complete(reader: ReadModelReader, log: TimelineLog, page: Sequence[_Place]) -> None:
    """Fill in the bytes that Redis does not hold from the log."""
    for attempt in range(REREADS_MAX + 1):
        missing = [place for place in page if place.message is None]
        if not missing:
            return
        if attempt:
            # A newer version stands elsewhere; the projection is about to say where.
            await asyncio.sleep(REREAD_SECONDS)
            for place in missing:
                newer = await reader.timeline_pointer(place.entity_key, place.pointer.entry_hash)
                if newer is not None:
                    # Shown where the page found it, with what it says now.
                    place.pointer = place.pointer._replace(offset=newer.offset)
        found = await log.fetch([_wanted(place) for place in missing])
        for place in missing:
            at = (partition_of(place.entity_key), place.pointer.offset)
            place.message = found.get(at)
    raise NotReadyError(
        "an entry of the timeline was replaced and its new version is not readable yet",
        "时间线条目已更新，新版本尚不可读",
    )


def _wanted(place: _Place) -> Wanted:
    prefix = f"{place.entity_key}{SEPARATOR}{place.pointer.entry_hash.hex()}".encode()
    return Wanted(partition_of(place.entity_key), place.pointer.offset, prefix)
