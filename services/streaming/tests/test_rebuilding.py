"""What a rebuild withholds, and when it is over."""

import pytest
from structlog.testing import capture_logs

from services.streaming.interface import SideRecord
from services.streaming.meta import Applied, Meta, MetaError, Rebuild, decode, encode
from services.streaming.rebuilding import Published, Rebuilding, whole_record

MARK = Rebuild({"events": 9, "control": 0}, {"alerts": 4, "dead": 0})


def by_key(record: SideRecord) -> bytes:
    """Identify a record by its key."""
    return record.key or b""


def published(*records: SideRecord) -> Published:
    """Return what stood there before."""
    known = Published(by_key, MARK.guarded)
    for record in records:
        known.add(record)
    return known


def alert(key: bytes, value: bytes = b"v", topic: str = "alerts") -> SideRecord:
    """Return a side record."""
    return SideRecord(topic, key, value)


def test_only_what_stands_there_is_withheld() -> None:
    """By topic and identity; keyed topics are written again, and new alerts go out."""
    rebuilding = Rebuilding(MARK, published(alert(b"a"), alert(b"b")))
    side = [alert(b"a"), alert(b"c"), alert(b"b", b"other"), alert(b"a", topic="timeline")]
    assert rebuilding.withhold(side) == [alert(b"c"), alert(b"a", topic="timeline")]
    mark = rebuilding.mark({"events": Applied(3, 0)})
    assert mark == Rebuild(MARK.sources, MARK.guarded, withheld=2, differing=1)


def test_identity_of_one_topic_says_nothing_of_another() -> None:
    """An alert and a dead letter of one name are two records."""
    rebuilding = Rebuilding(MARK, published(alert(b"a")))
    letter = alert(b"a", topic="dead")
    assert rebuilding.withhold([letter]) == [letter]


def test_record_is_withheld_every_time() -> None:
    """Forgetting it once it came would publish it when it comes again."""
    rebuilding = Rebuilding(MARK, published(alert(b"a")))
    assert not rebuilding.withhold([alert(b"a")])
    assert not rebuilding.withhold([alert(b"a")])


@pytest.mark.parametrize(
    ("applied", "over"),
    [
        ({}, False),
        ({"events": Applied(8, 0)}, False),
        ({"events": Applied(9, 0)}, True),
        ({"events": Applied(12, 0), "control": Applied(1, 0)}, True),
        ({"control": Applied(9, 0)}, False),
    ],
)
def test_rebuild_is_over_when_all_that_was_there_is_applied(
    applied: dict[str, Applied], *, over: bool
) -> None:
    """An empty source does not hold it open."""
    rebuilding = Rebuilding(MARK, published(alert(b"a")))
    assert (rebuilding.mark(applied) is None) is over
    assert (rebuilding.withhold([alert(b"a")]) != []) is over


@pytest.mark.parametrize(
    ("again", "level", "missing", "differing"),
    [
        ((b"a", b"b"), "info", 0, 0),
        ((b"a",), "warning", 1, 0),
        ((), "warning", 2, 0),
        ((b"a", b"b", b"c"), "info", 0, 0),
        ((b"a", b"b!"), "warning", 0, 1),
    ],
)
def test_end_tells_what_was_not_made_again(
    again: tuple[bytes, ...], level: str, missing: int, differing: int
) -> None:
    """An alert that the fold of today does not raise is nobody's any more: a warning."""
    rebuilding = Rebuilding(MARK, published(alert(b"a"), alert(b"b")), partition=3)
    rebuilding.withhold([alert(name[:1], name[1:] or b"v") for name in again])
    with capture_logs() as lines:
        assert rebuilding.mark({"events": Applied(9, 0)}) is None
    (line,) = lines
    assert (line["event"], line["log_level"], line["partition"]) == ("rebuilt", level, 3)
    assert (line["missing"], line["differing"]) == (missing, differing)


def test_partition_that_rebuilds_nothing_publishes_all() -> None:
    """The ordinary case."""
    rebuilding = Rebuilding()
    assert rebuilding.withhold([alert(b"a")]) == [alert(b"a")]
    assert rebuilding.mark({}) is None


def test_whole_record_differs_with_any_part_of_it() -> None:
    """Also where the parts run together in the same bytes."""
    records = [
        SideRecord("t", b"ab", b"c"),
        SideRecord("t", b"a", b"bc"),
        SideRecord("t", b"a", b"b", (("c", b""),)),
        SideRecord("t", b"a", b"b", (("", b"c"),)),
    ]
    assert len({whole_record(record) for record in records}) == len(records)


def test_meta_bears_the_mark_and_the_ids() -> None:
    """What is written is what is read; without either nothing of it is written."""
    meta = Meta(3, 40, {"events": Applied(3, 40)}, {"events": "ab12"}, MARK)
    assert decode(encode(meta)) == meta
    plain = Meta(3, 40, {"events": Applied(3, 40)})
    assert b"rebuild" not in encode(plain)
    assert b"topic_ids" not in encode(plain)


def test_software_that_knows_no_rebuild_must_not_go_on_with_one() -> None:
    """The first release reads version 1 only, and would publish everything again."""
    marked = encode(Meta(3, 40, {}, {}, MARK))
    assert b'"v":2' in marked
    with pytest.raises(MetaError):
        decode(marked.replace(b'"v":2', b'"v":1'))
    with pytest.raises(MetaError):
        decode(encode(Meta(3, 40)).replace(b'"v":1', b'"v":2'))
