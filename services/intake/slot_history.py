"""Which places of a source record still need a MOVED record (移出记录). Pure.

A correction may name another entity or another matter than the version before. The intake publishes
only the correction itself; whoever later sees one slot under two places, of which the one with the
lower version carries no MOVED, has to publish it there, so that the fact counts once.
"""

from typing import NamedTuple

from services.intake.placement import Place, TailRecord

PLACES_MAX = 8
"""Places remembered of one slot; of more, the settled ones with the lowest version go first."""


class Move(NamedTuple):
    """A MOVED record that is missing: ``place`` loses the fact to version ``version``."""

    place: Place
    version: int


def with_record(places: tuple[Place, ...], record: TailRecord) -> tuple[Place, ...]:
    """Return the places of a slot after ``record``; the same object when nothing changed."""
    seen = record.place
    for index, known in enumerate(places):
        if (known.entity_key, known.matter_id) == (seen.entity_key, seen.matter_id):
            merged = _merged(known, seen, is_moved=record.is_moved)
            if merged == known:
                return places
            return (*places[:index], merged, *places[index + 1 :])
    if record.is_moved:
        seen = seen._replace(version=0, moved_version=seen.version)
    return _bounded((*places, seen))


def _merged(known: Place, seen: Place, *, is_moved: bool) -> Place:
    if is_moved:
        return known._replace(moved_version=max(known.moved_version, seen.version))
    if seen.version <= known.version:
        return known
    return seen._replace(moved_version=known.moved_version)


def _bounded(places: tuple[Place, ...]) -> tuple[Place, ...]:
    if len(places) <= PLACES_MAX:
        return places
    newest = max(places, key=lambda place: place.version)
    others = (place for place in places if place is not newest)
    dropped = min(others, key=lambda place: (place.moved_version <= place.version, place.version))
    return tuple(place for place in places if place is not dropped)


def missing_moves(places: tuple[Place, ...]) -> tuple[Move, ...]:
    """Return the MOVED records that these places still need, by ascending version.

    A key that was replaced by another (a link) is a place of its own: a correction filed under the
    root leaves what stands under the old key, and only a MOVED record takes it away there.
    """
    if len(places) < 2:
        return ()
    newest = max(places, key=lambda place: place.version)
    return tuple(
        Move(place, newest.version)
        for place in sorted(places, key=lambda place: place.version)
        if 0 < place.version < newest.version and place.moved_version <= place.version
    )


def contested(places: tuple[Place, ...]) -> bool:
    """Return whether the highest version stands under two places: contradictory submissions."""
    if len(places) < 2:
        return False
    newest = max(places, key=lambda place: place.version)
    return any(place is not newest and place.version == newest.version for place in places)
