"""MOVED records, and what the index reads of records in general."""

from types import SimpleNamespace
from typing import Any

from market_supervision.common.v1.envelope_pb2 import Disposition

from services.contracts.families import FAMILY_BY_NAME
from services.intake.decoding import PAYLOAD_HASH_HEADER, tail_record
from services.intake.moving import moved_event_id, moved_record
from services.intake.placement import Place
from services.intake.publisher import OutgoingRecord
from services.intake.slot_history import Move

FAMILY = FAMILY_BY_NAME["inspections"]
PLACE = Place("uscc:91442000XX0000019R", "", "zs/JC-1", 1, 0, 1_700_000_000, 5, 480)
MOVE = Move(PLACE, 2)


def on_the_log(record: OutgoingRecord) -> Any:
    """Return an outgoing record as a consumer hands it over."""
    return SimpleNamespace(
        partition=4, offset=17, timestamp=99, value=record.value, headers=record.headers
    )


def moved(move: Move = MOVE, now_ns: int = 1) -> OutgoingRecord:
    """Return a MOVED record."""
    return moved_record(FAMILY, "zs", "JC-1", move, now_ns=now_ns)


def test_moved_record_stands_at_the_place_left_with_the_version_that_left_it() -> None:
    """It names the old entity and matter, the fact's own time, and no body."""
    event = FAMILY.parse(moved().value)
    envelope = event.envelope
    assert envelope.disposition == Disposition.DISPOSITION_MOVED
    assert moved().key == PLACE.entity_key.encode()
    assert (envelope.source_version, envelope.matter_id) == (2, "zs/JC-1")
    assert (envelope.event_time.seconds, envelope.event_time.nanos) == (1_700_000_000, 5)
    assert event.WhichOneof("body") is None


def test_moved_record_has_one_id_and_hash_whoever_writes_it_when() -> None:
    """Written twice it is one record to the stream; another place left has another id."""
    one = tail_record(FAMILY, on_the_log(moved()))
    other = tail_record(FAMILY, on_the_log(moved(now_ns=10**18)))
    assert one is not None
    assert other is not None
    assert one.entry.payload_hash == other.entry.payload_hash
    assert one.is_moved
    elsewhere = Move(PLACE._replace(matter_id="zs/JC-2"), 2)
    assert moved_event_id("zs", "JC-1", MOVE) != moved_event_id("zs", "JC-1", elsewhere)


def test_record_without_a_readable_hash_header_is_hashed_as_it_was_submitted() -> None:
    """What others wrote on the topic has a hash too: of its content without the intake's part."""
    record = moved()
    bare = record._replace(headers=((PAYLOAD_HASH_HEADER, b"not hexadecimal"),))
    read, recorded = tail_record(FAMILY, on_the_log(bare)), tail_record(FAMILY, on_the_log(record))
    assert read is not None
    assert recorded is not None
    assert read.entry.payload_hash == recorded.entry.payload_hash


def test_bytes_that_are_no_event_are_nobodys_entry() -> None:
    """The tail passes over them; the stream quarantines them."""
    for value in (b"\xff\xff", b"", None):
        assert tail_record(FAMILY, on_the_log(moved()._replace(value=value))) is None  # type: ignore[arg-type]
