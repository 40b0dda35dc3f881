"""Whether every fact stands in one place: intakes write MOVED records a while after the answer."""

from functools import partial

from integration_tests.system.support import read_topic
from services.contracts.families import FAMILIES, Family
from services.intake.decoding import tail_record
from services.intake.placement import Place
from services.intake.slot_history import missing_moves, with_record
from services.local.waiting import poll_until

MOVED_SECONDS = 60.0


def wait_moved(bootstrap: str) -> None:
    """Wait until the log holds every MOVED record that its corrections call for."""
    for family in FAMILIES:
        poll_until(
            partial(_is_complete, bootstrap, family),
            timeout_seconds=MOVED_SECONDS,
            what=f"every MOVED record of {family.topic} is published",
            interval_seconds=0.5,
        )


def _is_complete(bootstrap: str, family: Family) -> bool:
    slots: dict[tuple[str, str], tuple[Place, ...]] = {}
    for raw in sorted(read_topic(bootstrap, family.topic), key=lambda raw: raw.timestamp):
        record = tail_record(family, raw)
        if record is not None:
            slot = record.key.source_system, record.key.source_record_id
            slots[slot] = with_record(slots.get(slot, ()), record)
    return not any(missing_moves(places) for places in slots.values())
