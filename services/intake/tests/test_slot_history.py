"""Which MOVED records a slot needs."""

import itertools

from services.intake.placement import Entry, Place, SourceKey, TailRecord
from services.intake.slot_history import PLACES_MAX, Move, contested, missing_moves, with_record


def record(
    entity: str, version: int, *, matter: str = "zs/1", moved: bool = False, submitted: str = ""
) -> TailRecord:
    """Return a record of one slot."""
    place = Place(entity, submitted, matter, version, 0, 1_700_000_000 + version, 0, 480)
    entry = Entry(0, version, 0, bytes(32), entity)
    return TailRecord(SourceKey("zs", "1", version), entry, place, moved)


def places_of(*records: TailRecord) -> tuple[Place, ...]:
    """Return the places after some records."""
    places: tuple[Place, ...] = ()
    for each in records:
        places = with_record(places, each)
    return places


def left(moves: tuple[Move, ...]) -> list[tuple[str, str, int]]:
    """Return (entity, matter, version) of each move."""
    return [(move.place.entity_key, move.place.matter_id, move.version) for move in moves]


def test_versions_under_one_place_need_no_move() -> None:
    """A correction of content alone moves nothing."""
    assert missing_moves(places_of(record("a", 1), record("a", 2))) == ()


def test_correction_to_another_entity_needs_a_move_out_of_the_first_in_any_order() -> None:
    """The place of the lower version is left, whichever version is read first."""
    for order in itertools.permutations([record("a", 1), record("b", 2)]):
        assert left(missing_moves(places_of(*order))) == [("a", "zs/1", 2)]


def test_correction_to_another_matter_needs_a_move_out_of_the_first() -> None:
    """The same entity under another matter is another place."""
    places = places_of(record("a", 1), record("a", 2, matter="zs/2"))
    assert left(missing_moves(places)) == [("a", "zs/1", 2)]


def test_moved_record_settles_the_place_it_stands_at_whatever_the_order() -> None:
    """Once MOVED was seen nothing is missing, also for a lower version that arrives late."""
    seen = [record("a", 2), record("b", 3), record("a", 3, moved=True), record("a", 1)]
    for order in itertools.permutations(seen):
        assert missing_moves(places_of(*order)) == ()


def test_fact_moved_back_and_forth_needs_a_move_out_of_every_place_but_the_last() -> None:
    """A, B, A: the first stay at A is settled by a MOVED, the stay at B is not."""
    places = places_of(record("a", 1), record("b", 2), record("a", 2, moved=True), record("a", 3))
    assert left(missing_moves(places)) == [("b", "zs/1", 3)]


def test_correction_under_the_root_of_a_link_needs_a_move_out_of_the_old_key() -> None:
    """Nothing else takes away what stands under the old key: the fact would count twice."""
    for submitted in ("old", ""):
        places = places_of(record("old", 1), record("new", 2, submitted=submitted))
        assert left(missing_moves(places)) == [("old", "zs/1", 2)]


def test_one_version_in_two_places_is_contested_and_not_moved() -> None:
    """Contradictory submissions of one version cannot be told apart by their version."""
    places = places_of(record("a", 1), record("b", 1))
    assert missing_moves(places) == ()
    assert contested(places)
    assert not contested(places_of(record("a", 1), record("b", 2)))


def test_places_beyond_the_bound_go_settled_and_oldest_first() -> None:
    """A slot remembers a bounded number of places, and never drops the newest."""
    records = []
    for version in range(1, PLACES_MAX + 3):
        records.append(record(f"e{version}", version))
        records.append(record(f"e{version}", version + 1, moved=True))
    places = places_of(*records)
    assert len(places) == PLACES_MAX
    assert [place.entity_key for place in places] == [f"e{n}" for n in range(3, PLACES_MAX + 3)]
