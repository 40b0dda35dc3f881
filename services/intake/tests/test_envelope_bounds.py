"""Records that got on an event topic past the intakes, and what the index makes of them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from buf.validate import validate_pb2
from market_supervision.common.v1.envelope_pb2 import Disposition, EntityKey, EventEnvelope
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent

from services.contracts.families import FAMILY_BY_NAME
from services.intake import envelope_bounds as bounds
from services.intake.decoding import PAYLOAD_HASH_HEADER, tail_record
from services.intake.index import IndexIdentity, IntakeIndex
from services.intake.moving import moved_record
from services.intake.slot_history import Move

FAMILY = FAMILY_BY_NAME["inspections"]


def event() -> InspectionEvent:
    """Return an event within all bounds."""
    made = InspectionEvent()
    envelope = made.envelope
    envelope.source_system, envelope.source_record_id, envelope.source_version = "zs", "JC-1", 1
    envelope.disposition = Disposition.DISPOSITION_ASSERTED
    envelope.entity_key.CopyFrom(EntityKey(scheme="uscc", value="91442000XX0000019R"))
    envelope.matter_id = "zs/JC-1"
    envelope.event_time.seconds = 1_700_000_000
    envelope.utc_offset_minutes = 480
    return made


def record(made: InspectionEvent, headers: Any = ()) -> Any:
    """Return an event as a consumer hands it over."""
    return SimpleNamespace(
        partition=0, offset=0, timestamp=0, value=made.SerializeToString(), headers=headers
    )


SPOILED: dict[str, Callable[[EventEnvelope], Any]] = {
    "source_system empty": lambda e: e.ClearField("source_system"),
    "source_system of 70,000 bytes": lambda e: setattr(e, "source_system", "a" * 70_000),
    "source_record_id empty": lambda e: e.ClearField("source_record_id"),
    "source_record_id of 70,000 bytes": lambda e: setattr(e, "source_record_id", "x" * 70_000),
    "source_version 0": lambda e: e.ClearField("source_version"),
    "disposition unspecified": lambda e: e.ClearField("disposition"),
    "disposition undefined": lambda e: setattr(e, "disposition", 99),
    "entity_key missing": lambda e: e.ClearField("entity_key"),
    "entity_key.scheme empty": lambda e: e.entity_key.ClearField("scheme"),
    "entity_key.value empty": lambda e: e.entity_key.ClearField("value"),
    "entity_key.value of 70,000 bytes": lambda e: setattr(e.entity_key, "value", "9" * 70_000),
    "submitted_entity_key without scheme": lambda e: setattr(e.submitted_entity_key, "value", "1"),
    "submitted_entity_key too long": lambda e: e.submitted_entity_key.CopyFrom(
        EntityKey(scheme="regno", value="1" * 70_000)
    ),
    "matter_id empty": lambda e: e.ClearField("matter_id"),
    "matter_id of 70,000 bytes": lambda e: setattr(e, "matter_id", "zs/" + "x" * 70_000),
    "event_time before 1900": lambda e: setattr(e.event_time, "seconds", -2_208_988_801),
    "event_time beyond 9999": lambda e: setattr(e.event_time, "seconds", 253_402_300_800),
    "event_time.nanos negative": lambda e: setattr(e.event_time, "nanos", -1),
    "event_time.nanos of a second": lambda e: setattr(e.event_time, "nanos", 1_000_000_000),
    "utc_offset_minutes 100,000": lambda e: setattr(e, "utc_offset_minutes", 100_000),
    "utc_offset_minutes -100,000": lambda e: setattr(e, "utc_offset_minutes", -100_000),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_record_out_of_bounds_is_passed_over(spoil: Callable[[EventEnvelope], Any]) -> None:
    """What no intake could have taken makes no entry, and ends no intake."""
    made = event()
    spoil(made.envelope)
    assert tail_record(FAMILY, record(made)) is None


@pytest.mark.parametrize("value", [None, b"\xff", b"", b"00"])
def test_record_with_an_unusable_hash_header_is_hashed_itself(value: bytes | None) -> None:
    """A header without a value, or with another one, is as good as none."""
    plain = tail_record(FAMILY, record(event()))
    odd = tail_record(FAMILY, record(event(), [(PAYLOAD_HASH_HEADER, value)]))
    assert plain is not None
    assert odd == plain


@pytest.mark.parametrize("seconds", [bounds.EVENT_SECONDS_MIN, bounds.EVENT_SECONDS_MAX])
def test_record_at_the_bounds_is_stored_and_can_be_moved(tmp_path: Path, seconds: int) -> None:
    """The longest texts and the farthest times of the contract fit the index and a MOVED record."""
    made = event()
    envelope = made.envelope
    envelope.source_system = "a" * 64
    envelope.source_record_id = "\U00020000" * bounds.SOURCE_RECORD_ID_CHARACTERS_MAX
    envelope.entity_key.value = "\U00020000" * bounds.KEY_VALUE_CHARACTERS_MAX
    envelope.matter_id = "zs/" + "\U00020000" * (bounds.MATTER_ID_CHARACTERS_MAX - 3)
    envelope.utc_offset_minutes = -bounds.UTC_OFFSET_MINUTES_MAX
    envelope.event_time.seconds, envelope.event_time.nanos = seconds, bounds.NANOS_MAX
    seen = tail_record(FAMILY, record(made))
    assert seen is not None
    index = IntakeIndex(tmp_path, IndexIdentity("topic", "id"))
    index.apply([seen], {0: (1, 0)})
    assert index.find([seen.key]) == [seen.entry]
    move = Move(seen.place, 2)
    moved = moved_record(FAMILY, "a" * 64, envelope.source_record_id, move, now_ns=1)
    written = SimpleNamespace(
        partition=0, offset=1, timestamp=0, value=moved.value, headers=moved.headers
    )
    assert tail_record(FAMILY, written) is not None


def test_bounds_are_those_of_the_contract() -> None:
    """What the contract lets through is never passed over."""
    fields = EventEnvelope.DESCRIPTOR.fields_by_name

    def rules(name: str) -> Any:
        return fields[name].GetOptions().Extensions[validate_pb2.field]

    key = EntityKey.DESCRIPTOR.fields_by_name
    key_value = key["value"].GetOptions().Extensions[validate_pb2.field]
    key_scheme = key["scheme"].GetOptions().Extensions[validate_pb2.field]
    assert rules("source_record_id").string.max_len == bounds.SOURCE_RECORD_ID_CHARACTERS_MAX
    assert rules("matter_id").string.max_len == bounds.MATTER_ID_CHARACTERS_MAX
    assert key_value.string.max_len == bounds.KEY_VALUE_CHARACTERS_MAX
    assert rules("source_system").string.pattern == f"^{bounds.SOURCE_SYSTEM.pattern}$"
    assert key_scheme.string.pattern == f"^{bounds.KEY_SCHEME.pattern}$"
    assert rules("utc_offset_minutes").int32.lte == bounds.UTC_OFFSET_MINUTES_MAX
    assert rules("utc_offset_minutes").int32.gte == -bounds.UTC_OFFSET_MINUTES_MAX
    assert rules("event_time").timestamp.gte.seconds == bounds.EVENT_SECONDS_MIN
