"""The intake index on a real RocksDB in a temporary folder."""

from pathlib import Path

import pytest

from services.intake.index import IndexIdentity, IndexLockedError, IntakeIndex
from services.intake.placement import Entry, Place, SourceKey, TailRecord, slot_bytes

IDENTITY = IndexIdentity("inspections.v1", "topic-1")
HASH, OTHER_HASH = b"\x01" * 32, b"\x02" * 32
KEY = SourceKey("zs", "JC-1", 1)


def open_index(directory: Path, identity: IndexIdentity = IDENTITY) -> IntakeIndex:
    """Open an index."""
    return IntakeIndex(directory, identity)


def record(
    partition: int,
    offset: int,
    *,
    key: SourceKey = KEY,
    payload_hash: bytes = HASH,
    entity: str = "uscc:A",
    append_time_ms: int = 1,
    moved: bool = False,
) -> TailRecord:
    """Return a record read from the log."""
    place = Place(entity, "", "zs/1", key.source_version, 0, 0, 0, 0)
    return TailRecord(
        key, Entry(partition, offset, append_time_ms, payload_hash, entity), place, moved
    )


def test_lowest_offset_holds_in_whatever_batches_the_records_come(tmp_path: Path) -> None:
    """The first record of a version is its entry; later copies and re-reads change nothing."""
    index = open_index(tmp_path)
    first, second = record(3, 7), record(3, 9, payload_hash=OTHER_HASH)
    index.apply([first, second], {3: (10, 5)})
    index.apply([second, first], {3: (10, 5)})
    assert index.find([KEY, SourceKey("zs", "JC-1", 2)]) == [first.entry, None]
    assert index.position(3) == 10
    assert index.position(4) == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_version_in_two_partitions_goes_to_the_earlier_append_time(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    """Instances that read the partitions in another order agree on the entry."""
    records = [
        record(5, 1, append_time_ms=100, entity="uscc:A"),
        record(2, 1, append_time_ms=200, entity="uscc:B", payload_hash=OTHER_HASH),
    ]
    index = open_index(tmp_path)
    for number in order:
        index.apply([records[number]], {})
    assert index.find([KEY]) == [records[0].entry]


def test_moved_record_is_never_an_entry(tmp_path: Path) -> None:
    """A MOVED record is nobody's receipt, though it has the version of the correction."""
    index = open_index(tmp_path)
    index.apply([record(0, 0, moved=True)], {0: (1, 1)})
    assert index.find([KEY]) == [None]


def test_state_survives_a_restart_and_is_emptied_for_another_topic(tmp_path: Path) -> None:
    """A reopened index continues; one of a topic that was created anew begins at offset 0."""
    index = open_index(tmp_path)
    index.apply([record(0, 4)], {0: (5, 1)})
    index.close()
    index = open_index(tmp_path)
    assert index.position(0) == 5
    assert index.find([KEY]) == [record(0, 4).entry]
    index.close()
    index = open_index(tmp_path, IndexIdentity("inspections.v1", "topic-2"))
    assert index.position(0) == 0
    assert index.find([KEY]) == [None]


def test_slot_in_two_places_is_pending_until_its_moved_record_is_read(tmp_path: Path) -> None:
    """The mark outlives a restart: it is what a killed intake left to do."""
    second = SourceKey("zs", "JC-1", 2)
    slot = slot_bytes("zs", "JC-1")
    index = open_index(tmp_path)
    applied = index.apply([record(0, 0), record(1, 0, key=second, entity="uscc:B")], {})
    assert applied.slots_with_moves == [slot]
    index.close()
    index = open_index(tmp_path)
    assert index.pending_slots(limit=10) == [slot]
    assert index.pending_slots(after=slot, limit=10) == []
    (move,) = index.moves(slot)
    assert (move.place.entity_key, move.version) == ("uscc:A", 2)
    index.apply([record(0, 1, key=second, moved=True)], {})
    assert index.pending_slots(limit=10) == []
    assert index.moves(slot) == ()


def test_directory_in_use_is_refused(tmp_path: Path) -> None:
    """Two instances never share an index."""
    index = open_index(tmp_path)
    with pytest.raises(IndexLockedError, match=str(tmp_path)):
        open_index(tmp_path)
    index.close()


def test_ambiguous_looking_source_keys_have_entries_of_their_own(tmp_path: Path) -> None:
    """Where source system ends and record id begins makes a difference."""
    index = open_index(tmp_path)
    one, other = SourceKey("zs", "a", 1), SourceKey("zsa", "", 1)
    index.apply([record(0, 0, key=one)], {})
    assert index.find([one, other]) == [record(0, 0).entry, None]
