"""A state topic as a city leaves it: what a recovery and a rebuild of the read model read.

A small city is folded by the pure step with all rules. The newest records of its entities, of all
kinds, are written again and again, each time under entity keys and alert ids of their own. These
are replaced by others of the same length, in key and value, so that every record keeps its form and
its size: some 23 records and 14 kB an entity. Each key stands once, as after compaction; a unit's
META closes its records, as the engine writes it. Timelines and links are not there.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice

from integration_tests.performance.session import Session
from integration_tests.performance.step_prepared import city_records
from integration_tests.performance.step_workload import Worked
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.reading.changelog_writer import LIFECYCLE, ChangelogWriter, Unit, unit_of
from services.contracts import state_keys
from services.contracts.state_keys import StateKey, StateKind
from services.runtime.kafka_topics import ensure_topics
from services.streaming.meta import Applied

ENTITIES = 20_000
UNIT_ENTITIES = 1_000
SCHEME = "uscc:"
"""Of nearly all entities of a city, and all of one length; the few others are left out."""

ALL_KINDS = frozenset(StateKind)
PROJECTED = frozenset({StateKind.ENTITY, StateKind.ALERT})
"""What a read model keeps of a state topic."""

Records = Sequence[tuple[StateKey, bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StateLog:
    """Where it stands, and what it holds."""

    prefix: str
    entities: int
    records: int
    """Of entities; METAs stand between them."""


def state_log(session: Session, kinds: frozenset[StateKind] = ALL_KINDS) -> StateLog:
    """Return the log of a session with records of these kinds alone, written once."""

    def make() -> StateLog:
        prefix, entities = f"state-{uuid.uuid4().hex[:8]}.", session.scaled(ENTITIES)
        with prefixed(prefix):
            ensure_topics(session.bootstrap)
            records = asyncio.run(_write(session.bootstrap, entities, kinds))
        return StateLog(prefix, entities, records)

    return session.once(("state log", kinds), make)


async def _write(bootstrap: str, entities: int, kinds: frozenset[StateKind]) -> int:
    """Write so many entities; return the number of their records."""
    records, stream_time_ms = _city(kinds)
    # The stream's time is the city's, years ahead: a worker that has recovered asks for no tick.
    applied = {"control.v1": Applied(0, stream_time_ms)}
    written = 0
    copied_entities = islice(copies(records), entities)
    async with ChangelogWriter(bootstrap) as writer:
        while some := list(islice(copied_entities, UNIT_ENTITIES)):
            units: dict[int, Unit] = {}
            for entity_key, copied in some:
                unit = unit_of(entity_key)
                unit = units.setdefault(unit.partition, unit)
                unit.records += [(LIFECYCLE, key, value) for key, value in copied]
                written += len(copied)
            await writer.commit(list(units.values()), applied)
    return written


@cache
def _city(kinds: frozenset[StateKind]) -> tuple[Mapping[str, Records], int]:
    """The newest records of each entity of a small city, and the time at which its log ends."""
    worked = Worked()
    worked.work(city_records())
    found: dict[str, list[tuple[StateKey, bytes, bytes]]] = {}
    for key, value in worked.store.committed.items():
        parsed = state_keys.parse(key)
        if parsed is None or parsed.kind not in kinds:
            continue
        if parsed.entity_key.startswith(SCHEME):
            found.setdefault(parsed.entity_key, []).append((parsed, key, value))
    return found, worked.stream_time_ms


def copies(city: Mapping[str, Records]) -> Iterator[tuple[str, list[tuple[bytes, bytes]]]]:
    """Yield entities without end, each with a key of its own and the records of one of the city."""
    numbers = count()
    while True:
        for entity_key, records in city.items():
            number = next(numbers)
            named = f"{SCHEME}{number:0{len(entity_key) - len(SCHEME)}d}"
            new_names = {entity_key.encode(): named.encode()}
            for parsed, _, _ in records:
                if parsed.kind is StateKind.ALERT:
                    of_copy = hashlib.sha256(f"{number}|{parsed.part}".encode()).hexdigest()
                    new_names[parsed.part.encode()] = of_copy[: len(parsed.part)].encode()
            yield (
                named,
                [
                    (_renamed(key, new_names), _renamed(value, new_names))
                    for _, key, value in records
                ],
            )


def _renamed(text: bytes, new_names: Mapping[bytes, bytes]) -> bytes:
    for old, new in new_names.items():
        text = text.replace(old, new)
    return text
