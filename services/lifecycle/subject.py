"""What a record changes, as far as only the state before it can tell. Pure."""

from typing import NamedTuple

from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.decoding import DecodedEvent
from services.lifecycle.fold import Folded
from services.lifecycle.folding.contribution import DayOf
from services.lifecycle.folding.handlers import SLOT_FIELDS
from services.lifecycle.folding.slots import find_slot
from services.lifecycle.view import MatterView
from services.lifecycle.working_set import WorkingSet


class Subject(NamedTuple):
    """What a record is about, asked before it is folded."""

    event_type: str
    """Its event type `<family>.<arm>`; of a record taken back, the type that stood before."""
    event_type_before: str
    """The type that stood before, of a record that was there already; else empty."""
    licence_type: str
    """Type of the licence that its matter was; else empty."""
    days: tuple[int, ...]
    """Days of the facts that its matter had."""


def subject_of(working: WorkingSet, decoded: DecodedEvent, day_of: DayOf) -> Subject:
    """Look at a record's matter as it stands before the record is folded."""
    family, arm = decoded.family.name, decoded.arm
    before = _standing_arm(working, decoded)
    matter = working.contribution_at(decoded.matter_key, day_of).view
    licence = None if matter is None else matter.licence
    return Subject(
        event_type=f"{family}.{arm or before}",
        event_type_before=f"{family}.{before}" if before else "",
        licence_type="" if licence is None else licence.licence_type,
        days=() if matter is None else matter.days,
    )


def _standing_arm(working: WorkingSet, decoded: DecodedEvent) -> str:
    """The arm of the record as it stands; empty where it does not."""
    matter = working.read(decoded.matter_key, state_pb2.MatterState)
    slot = None
    if matter is not None:
        envelope = decoded.envelope
        slot = find_slot(matter, envelope.source_system, envelope.source_record_id)
    if slot is None or slot.disposition != DISPOSITION_ASSERTED:
        return ""
    held = getattr(slot, SLOT_FIELDS[decoded.family.name])
    return held.WhichOneof("body") or ""


def days_touched(folded: Folded, subject: Subject, matter: MatterView | None) -> tuple[int, ...]:
    """Days of the fact; of a licence whose type changed, which no day bounds, all of its facts."""
    licence = None if matter is None else matter.licence
    if matter is None or licence is None or licence.licence_type == subject.licence_type:
        return folded.days
    return tuple(sorted({*folded.days, *subject.days, *matter.days}))
