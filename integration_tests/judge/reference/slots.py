"""Which event holds in which slot, and what an overflowed matter pushed out. Pure.

Within a slot the highest source version holds, of one version the lowest offset. That alone decides
while no matter holds too much; only a matter beyond its bounds depends on the order of arrival.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from integration_tests.judge.admission import Event
from integration_tests.judge.reference.matter_records import matter_state

SLOTS_MAX = 64
BYTES_MAX = 512 * 1024


@dataclass(slots=True)
class MatterSlots:
    """The slots of one matter."""

    held: dict[tuple[str, str], Event] = field(default_factory=dict)
    summed: dict[tuple[str, str], Event] = field(default_factory=dict)
    """Pushed out of an overflowed matter."""


@dataclass(slots=True)
class Slots:
    """All slots: entity → matter → slots."""

    entities: dict[str, dict[str, MatterSlots]] = field(default_factory=dict)

    def matters_of(self, entity_key: str) -> Mapping[str, MatterSlots]:
        """Return the matters of an entity."""
        return self.entities.get(entity_key, {})

    def put(self, event: Event) -> None:
        """Put an event into its slot, which it was found to win, and push out what is too much."""
        matters = self.entities.setdefault(event.entity_key, {})
        matter = matters.setdefault(event.matter_id, MatterSlots())
        matter.held[event.slot] = event
        while len(matter.held) > SLOTS_MAX or _is_too_large(matter, event):
            oldest = min(matter.held.values(), key=lambda e: (e.time_ms, *e.slot))
            matter.summed[oldest.slot] = matter.held.pop(oldest.slot)


def _is_too_large(matter: MatterSlots, event: Event) -> bool:
    if len(matter.held) == 1:
        return False
    rough = sum(len(held.record.value or b"") for held in matter.held.values())
    return rough > BYTES_MAX // 2 and _exact_bytes(matter, event) > BYTES_MAX


def _exact_bytes(matter: MatterSlots, event: Event) -> int:
    held, summed = matter.held, len(matter.summed)
    return matter_state(event.entity_key, event.matter_id, held, summed).ByteSize()


def winners(events: Iterable[Event]) -> Slots:
    """Return the slots of any set of events, whatever their order and however often each."""
    best: dict[tuple[str, str, str, str], Event] = {}
    for event in events:
        key = (event.entity_key, event.matter_id, *event.slot)
        held = best.get(key)
        if held is None or _rank(event) > _rank(held):
            best[key] = event
    slots = Slots()
    for event in sorted(best.values(), key=lambda e: (e.time_ms, *e.slot)):
        slots.put(event)
    return slots


def _rank(event: Event) -> tuple[int, int]:
    return event.version, -event.record.offset
