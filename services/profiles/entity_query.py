"""Finding an entity by any of its keys, and telling how fresh what was found is."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from market_supervision.common.v1.envelope_pb2 import EntityKey
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.lifecycle.v1.state_pb2 import EntityState
from market_supervision.profiles.v1.entity_profile_pb2 import SourceFreshness

from services.contracts import topics
from services.contracts.families import FAMILIES
from services.contracts.identifiers import (
    IdentifierError,
    canonical_key,
    fold_width,
    parse_entity_resource_name,
)
from services.contracts.key_schemes import KeySchemes
from services.contracts.topics import PARTITIONS
from services.profiles.profile_view import timestamp
from services.readmodel import freshness
from services.readmodel.freshness import PartitionReading
from services.readmodel.reader import EntityReading, ReadModelReader
from services.runtime.errors import (
    EntityKeyInvalidError,
    FieldInvalidError,
    FieldViolation,
    FreshnessNotReachedError,
)

LINK_HOPS_MAX = 8
"""Links followed one after the other; a longer chain is cut there."""
LINKED_KEYS_MAX = 64
UNMERGED_MAX = 8
"""Linked keys whose facts are told beside those of the root; the others are only named."""
FRESHNESS_WAIT_SECONDS_MAX = 10.0
FRESHNESS_POLL_SECONDS = 0.02
FRESHNESS_POLL_SECONDS_MAX = 0.25

_FAMILY_TOPICS = {family.topic for family in FAMILIES}


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """An entity under all its keys; ``state`` is None when nothing is known under any of them.

    ``state`` is that of the root, else that of the first linked key which has one: what was filed
    before a link stays under the old key. ``unmerged``: the states of the other linked keys by key,
    in order, at most `UNMERGED_MAX`. ``readings``: how fresh each partition is that any of the keys
    lies in.
    """

    root_key: str
    linked_keys: tuple[str, ...]
    state: EntityState | None
    unmerged: Mapping[str, EntityState]
    readings: Mapping[int, PartitionReading]


def key_of_name(name: str, schemes: KeySchemes) -> str:
    """Return the canonical key of a resource name; EntityKeyInvalidError when it has none."""
    try:
        key: EntityKey = schemes.normalise(parse_entity_resource_name(fold_width(name)))
    except IdentifierError as error:
        raise EntityKeyInvalidError(
            f"name {name!r}: {error.reason.en}",
            f"标识 {name!r}：{error.reason.zh}",
            metadata={"name": name[:200]},
        ) from error
    return canonical_key(key)


async def find_entities(reader: ReadModelReader, keys: Sequence[str]) -> list[FoundEntity]:
    """Return the entity behind each canonical key, in the order asked.

    One pipeline where nothing is linked, one more for each hop of the longest chain of links.
    """
    known: dict[str, EntityReading] = {}
    await _read_closure(reader, known, list(keys), lambda reading: _next(reading.linked_to))
    roots = {key: _root(key, known) for key in keys}
    await _read_closure(reader, known, list(roots.values()), lambda reading: reading.aliases)
    return [_found(key, roots[key], known) for key in keys]


async def _read_closure(
    reader: ReadModelReader,
    known: dict[str, EntityReading],
    start: list[str],
    successors: Callable[[EntityReading], Sequence[str]],
) -> None:
    """Read keys, then the keys they lead to, and so on; each key once, hops and keys bounded."""
    wanted = list(dict.fromkeys(start))
    keys_max = len(wanted) * (1 + LINKED_KEYS_MAX)
    visited: set[str] = set()
    for _ in range(1 + LINK_HOPS_MAX):
        missing = [key for key in wanted if key not in known]
        if missing:
            known.update(zip(missing, await reader.entities(missing), strict=True))
        visited.update(wanted)
        following = [key for at in wanted for key in successors(known[at])]
        wanted = [key for key in dict.fromkeys(following) if key not in visited]
        if not wanted or len(visited) + len(wanted) > keys_max:
            return


def _next(linked_to: str) -> Sequence[str]:
    return (linked_to,) if linked_to else ()


def _root(key: str, known: dict[str, EntityReading]) -> str:
    """Follow the links; of keys linked in a circle the first in order stands for all."""
    path = [key]
    while (linked_to := known[path[-1]].linked_to) and linked_to in known:
        if linked_to in path:
            return min(path[path.index(linked_to) :])
        path.append(linked_to)
    return path[-1]


def _found(key: str, root_key: str, known: dict[str, EntityReading]) -> FoundEntity:
    linked: list[str] = []
    wanted = [root_key]
    for at in wanted:
        for alias in known[at].aliases:
            if alias in known and alias not in wanted and len(linked) < LINKED_KEYS_MAX:
                wanted.append(alias)
                linked.append(alias)
    linked_keys = tuple(sorted(set(linked) | ({key} - {root_key})))
    readings = [known[k] for k in (root_key, *linked_keys)]
    states = {r.entity_key: r.state for r in readings if r.state is not None}
    shown = next(iter(states), None)
    unmerged = [item for item in states.items() if item[0] != shown]
    return FoundEntity(
        root_key=root_key,
        linked_keys=linked_keys,
        state=None if shown is None else states[shown],
        unmerged=dict(unmerged[:UNMERGED_MAX]),
        readings={reading.partition: reading.freshness for reading in readings},
    )


def source_freshness(
    readings: Mapping[int, PartitionReading], now_ms: int
) -> list[SourceFreshness]:
    """Return how fresh an answer from some partitions is, one entry a family.

    The entry is that of the partition which is furthest behind: no part of the answer is older.
    """
    made = []
    for family in FAMILIES:
        topic = topics.name(family.topic)
        partition, fresh = min(
            ((p, freshness.of_topic(reading, topic)) for p, reading in readings.items()),
            key=lambda entry: entry[1].current_as_of_ms,
        )
        entry = SourceFreshness(
            family=family.name,
            current_as_of_time=timestamp(min(fresh.current_as_of_ms, now_ms)),
            lag_seconds=fresh.lag_seconds(now_ms),
            lag_records=fresh.lag_records,
            partition=partition,
            next_offset=fresh.next_offset,
        )
        if fresh.last_append_ms:
            entry.last_append_time.CopyFrom(timestamp(fresh.last_append_ms))
        made.append(entry)
    return made


async def wait_for_receipt(
    reader: ReadModelReader, receipt: Receipt, seconds_left: float | None
) -> None:
    """Return once the event of a receipt is contained in the read model.

    Raises FieldInvalidError for a receipt that is none of an event topic, FreshnessNotReachedError
    when the event is not contained within the caller's time (at most 10 seconds).
    """
    _check_receipt(receipt)
    limit = FRESHNESS_WAIT_SECONDS_MAX
    if seconds_left is not None:
        # Leave time for the answer itself.
        limit = min(limit, max(0.0, seconds_left - 2 * FRESHNESS_POLL_SECONDS))
    deadline = time.monotonic() + limit
    pause = FRESHNESS_POLL_SECONDS
    while True:
        reading = await reader.partition_freshness(receipt.partition)
        reached = freshness.of_topic(reading, receipt.topic).next_offset
        if reached > receipt.offset:
            return
        if time.monotonic() >= deadline:
            raise FreshnessNotReachedError(
                f"offset {receipt.offset} of {receipt.topic}/{receipt.partition} is not in the "
                f"view yet, which has reached {reached}",
                f"视图已处理到位点 {reached}，尚未包含回执位点 {receipt.offset}",
                metadata={"next_offset": str(reached)},
            )
        # A wait that will be long must not cost Redis as much as many short ones.
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(1.5 * pause, FRESHNESS_POLL_SECONDS_MAX)


def _check_receipt(receipt: Receipt) -> None:
    field = ""
    if receipt.topic not in {topics.name(topic) for topic in _FAMILY_TOPICS}:
        field = "topic"
    elif not 0 <= receipt.partition < PARTITIONS:
        field = "partition"
    elif receipt.offset < 0:
        field = "offset"
    if not field:
        return
    value = getattr(receipt, field)
    violation = FieldViolation(
        field=f"at_least_as_fresh_as.{field}",
        message_en=f"{value!r} is not that of a receipt",
        message_zh=f"{value!r} 不是有效回执的内容",
    )
    raise FieldInvalidError(
        f"{violation.field}: {violation.message_en}",
        f"{violation.field}：{violation.message_zh}",
        violations=[violation],
    )
