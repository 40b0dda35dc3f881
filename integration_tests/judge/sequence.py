"""In which order the records of a partition take effect, and what becomes of each. Pure.

Within one slot the highest source version holds; of two contents under one version the first. The
order between topics is that of append times (running maximum within a topic), as promised for a
stream that reads from the beginning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from integration_tests.judge.admission import Event, RefusedError, admit
from integration_tests.judge.raw_log import CONTROL, EVENT_TOPICS, LogRecord, RawLog
from integration_tests.judge.reference.slots import MatterSlots, Slots

_RANKS = {topic: rank for rank, topic in enumerate((CONTROL, *EVENT_TOPICS))}

Place = tuple[str, int, int]
"""Short topic name, partition, offset."""


class Fate(Enum):
    """What becomes of a record of an event topic."""

    APPLIED = "applied"
    DUPLICATE = "duplicates"
    SUPERSEDED = "superseded"
    DEAD = "dead_lettered"


@dataclass(slots=True)
class History:
    """What the log says, record by record."""

    fates: dict[Place, Fate] = field(default_factory=dict)
    reasons: dict[Place, str] = field(default_factory=dict)
    """Why a record belongs to the dead letters."""
    slots: Slots = field(default_factory=Slots)
    """What holds in each slot in the end."""
    steps: list[tuple[LogRecord, Event | None]] = field(default_factory=list)
    """Every record in the order in which it takes effect; with its event, where it is applied."""

    @property
    def applied(self) -> list[Event]:
        """Return the applied events in the order in which they take effect."""
        return [event for _record, event in self.steps if event is not None]


def place_of(record: LogRecord) -> Place:
    """Return where a record stands."""
    return record.topic, record.partition, record.offset


def in_order(log: RawLog) -> Iterator[LogRecord]:
    """Yield events and control records, partition by partition, in the order they take effect."""
    keyed: list[tuple[int, int, int, int, LogRecord]] = []
    for topic, rank in _RANKS.items():
        latest: dict[int, int] = {}
        for record in log.records[topic]:
            time_ms = max(latest.get(record.partition, 0), record.time_ms)
            latest[record.partition] = time_ms
            keyed.append((record.partition, time_ms, rank, record.offset, record))
    keyed.sort(key=lambda item: item[:4])
    return (item[4] for item in keyed)


def walk(
    records: Iterable[LogRecord],
    refused: Mapping[Place, str],
    check: Callable[[Event], None],
) -> History:
    """Tell what becomes of each record.

    ``refused``: records the stream refused for reasons that are taken on its word. ``check`` raises
    RefusedError for an event whose body makes no sense.
    """
    history = History()
    for record in records:
        if record.topic == CONTROL:
            history.steps.append((record, None))
            continue
        place = place_of(record)
        try:
            event = _admitted(record, refused)
            fate = _fate(history.slots, event)
            if fate is Fate.APPLIED and event.stands:
                check(event)
        except RefusedError as error:
            history.fates[place] = Fate.DEAD
            history.reasons[place] = str(error)
            history.steps.append((record, None))
            continue
        history.fates[place] = fate
        if fate is Fate.APPLIED:
            history.slots.put(event)
        history.steps.append((record, event if fate is Fate.APPLIED else None))
    return history


def _admitted(record: LogRecord, refused: Mapping[Place, str]) -> Event:
    place = place_of(record)
    if place in refused:
        raise RefusedError(refused[place])
    return admit(record)


def _fate(slots: Slots, event: Event) -> Fate:
    matter = slots.matters_of(event.entity_key).get(event.matter_id, MatterSlots())
    held = matter.held.get(event.slot) or matter.summed.get(event.slot)
    if held is None:
        return Fate.APPLIED
    if event.version > held.version:
        if event.slot in matter.summed:
            raise RefusedError("the matter overflowed, and this fact is summed already")
        return Fate.APPLIED
    if event.version < held.version:
        return Fate.SUPERSEDED
    if event.payload_hash != held.payload_hash:
        raise RefusedError("another content under the same version")
    return Fate.DUPLICATE
