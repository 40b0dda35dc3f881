"""A state that is being rebuilt is not complete, however far its topic was read."""

import pytest

from services.projection.state_progress import StateProgress
from services.readmodel.positions import LIFECYCLE, TIMELINE, Heads
from services.readmodel.writer import TopicBatch
from services.streaming.meta import Applied, Meta, Rebuild, encode

WHOLE = encode(Meta(9, 50, {"events": Applied(7, 50)}))
PART = encode(Meta(2, 40, {"events": Applied(3, 40)}, {}, Rebuild({"events": 7}, {"alerts": 1})))


def _batch(meta: bytes | None = None, topic: str = LIFECYCLE) -> TopicBatch:
    return TopicBatch(4, topic, expected=0, next_offset=8, meta=meta)


@pytest.mark.parametrize(
    ("passed", "in_batch", "whole"),
    [
        (None, WHOLE, True),
        (None, PART, False),
        (PART, None, False),
        (PART, WHOLE, True),
        (WHOLE, None, True),
    ],
)
def test_newest_meta_tells_whether_a_rebuild_is_over(
    passed: bytes | None, in_batch: bytes | None, *, whole: bool
) -> None:
    """What Redis has passed counts until a newer one comes."""
    states = StateProgress()
    states.begin({4: passed})
    assert states.is_whole_after(_batch(in_batch)) is whole
    assert states.is_whole_after(_batch(in_batch, TIMELINE)) is True


def test_state_that_never_began_is_whole_only_without_sources() -> None:
    """An empty view of a full log would answer "not found" of everybody."""
    states = StateProgress()
    states.begin({4: None})
    assert not states.is_whole_after(_batch())
    states.note_sources({4: Heads(1, {"events": 0})})
    assert states.is_whole_after(_batch())
    states.note_sources({4: Heads(1, {"events": 3})})
    assert not states.is_whole_after(_batch())
