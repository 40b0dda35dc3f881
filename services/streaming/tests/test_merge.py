"""The order in which a partition's records reach the step."""

import random
from collections.abc import Sequence

import pytest

from services.streaming.chunks import Chunk, TopicEnd
from services.streaming.interface import SourceRecord
from services.streaming.merge import SETTLE_NS, HoleError, Merge
from services.streaming.meta import Applied, Meta

PLENTY = 1 << 30
LATER = SETTLE_NS
"""When a request must be sent to confirm what an answer at 0 brought."""


def record(topic: str, offset: int, append_time_ms: int, size: int = 1) -> SourceRecord:
    """Make a record of partition 0."""
    return SourceRecord(topic, 0, offset, append_time_ms, None, b"x" * size, ())


def chunk(
    topic: str, start: int, times: Sequence[int], *, end: int | None = None, answered: int = 0
) -> Chunk:
    """Make a chunk of records appended at ``times``, from offset ``start`` on."""
    records = [record(topic, start + i, t) for i, t in enumerate(times)]
    return Chunk(topic, start, start + len(times) if end is None else end, answered, records)


def at_end(topic: str, position: int, asked: int = LATER) -> TopicEnd:
    """Say that a topic was at its end."""
    return TopicEnd(topic, position, position, asked)


def names(records: Sequence[SourceRecord]) -> list[str]:
    """Name records shortly."""
    return [f"{r.topic}{r.offset}" for r in records]


def test_merge_with_all_topics_at_hand_orders_by_append_time() -> None:
    """Records of all topics come in the order in which the broker took them."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("a", 0, [10, 30, 50]))
    merge.accept(chunk("b", 0, [20, 40]))
    merge.note_end(at_end("a", 3))
    merge.note_end(at_end("b", 2))
    assert names(merge.peek(10, PLENTY)) == ["a0", "b0", "a1", "b1", "a2"]


def test_merge_on_equal_times_takes_the_lower_rank_first() -> None:
    """A tie is broken by the topic's rank, so that every replay breaks it the same way."""
    for topics, expected in ((["b", "a"], ["b0", "a0"]), (["a", "b"], ["a0", "b0"])):
        merge = Merge(topics, Meta())
        merge.accept(chunk("a", 0, [10]))
        merge.accept(chunk("b", 0, [10]))
        merge.note_end(at_end("a", 1))
        merge.note_end(at_end("b", 1))
        assert names(merge.peek(10, PLENTY)) == expected


def test_merge_while_a_topic_is_behind_holds_what_is_later() -> None:
    """A record waits while a topic not at its end may still bring an earlier one."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("b", 0, [20]))
    merge.note_end(at_end("b", 1))
    assert merge.peek(10, PLENTY) == []
    merge.note_end(TopicEnd("a", 0, 5, LATER))
    assert merge.peek(10, PLENTY) == []
    merge.accept(chunk("a", 0, [5, 15]))
    merge.note_end(TopicEnd("a", 2, 5, LATER))
    assert names(merge.peek(10, PLENTY)) == ["a0", "a1"]
    merge.accept(chunk("a", 2, [25, 26, 27]))
    merge.note_end(at_end("a", 5))
    assert names(merge.peek(10, PLENTY)) == ["a0", "a1", "b0", "a2", "a3", "a4"]


def test_merge_up_to_the_last_fetched_time_releases_though_a_topic_is_behind() -> None:
    """Only what is later than the last record fetched of the lagging topic is held."""
    merge = Merge(["a", "b"], Meta(applied={"a": Applied(1, 30)}))
    merge.accept(chunk("b", 0, [20, 29, 31]))
    assert names(merge.peek(10, PLENTY)) == ["b0", "b1"]


def test_merge_with_an_end_told_by_the_same_answer_holds_the_record() -> None:
    """A record appended to the other topic just after that topic was looked at may come first.

    The answer is asked for at 0 and given at 5: it found a at its end, then b with a record of time
    20. In a, a record of time 19 was appended between the two looks.
    """
    merge = Merge(["a", "b"], Meta())
    merge.note_end(at_end("a", 0, asked=0))
    merge.accept(chunk("b", 0, [20], answered=5))
    merge.note_end(at_end("b", 1, asked=0))
    assert merge.peek(10, PLENTY) == []
    assert not merge.ready()
    merge.accept(chunk("a", 0, [19], answered=2 * LATER))
    merge.note_end(at_end("a", 1, asked=LATER))
    merge.note_end(at_end("b", 1, asked=LATER))
    assert names(merge.peek(10, PLENTY)) == ["a0"]
    merge.note_end(at_end("a", 1, asked=3 * LATER))
    assert names(merge.peek(10, PLENTY)) == ["a0", "b0"]


def test_merge_with_an_end_asked_for_before_the_record_came_holds_it() -> None:
    """Two requests were under way at two brokers: neither answer confirms the other's records."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("b", 0, [20], answered=5))
    merge.note_end(at_end("a", 0, asked=4))
    assert not merge.ready()


def test_merge_within_one_unit_of_append_time_holds_the_record() -> None:
    """A record appended to an earlier topic in the same millisecond would sort first."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("b", 0, [20], answered=5))
    merge.note_end(at_end("a", 0, asked=5 + SETTLE_NS - 1))
    assert not merge.ready()
    merge.note_end(at_end("a", 0, asked=5 + SETTLE_NS))
    assert names(merge.peek(10, PLENTY)) == ["b0"]


def test_merge_confirms_each_record_by_the_answer_that_brought_it() -> None:
    """What a newer answer brought waits; what came before and is confirmed does not."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("b", 0, [20], answered=0))
    merge.accept(chunk("b", 1, [30], answered=2 * LATER))
    merge.note_end(at_end("a", 0, asked=LATER))
    assert names(merge.peek(10, PLENTY)) == ["b0"]
    merge.note_end(at_end("a", 0, asked=3 * LATER))
    assert names(merge.peek(10, PLENTY)) == ["b0", "b1"]


def test_merge_with_an_open_transaction_takes_its_stable_end_for_the_end() -> None:
    """A topic whose last stable offset is reached is at its end, whatever is pending there."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("b", 0, [20]))
    merge.note_end(TopicEnd("a", 0, 0, LATER))
    assert names(merge.peek(10, PLENTY)) == ["b0"]


def test_merge_tells_what_is_consumed_and_frees_memory_with_the_last_of_a_chunk() -> None:
    """Memory stays taken as long as any record of their chunk waits."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("a", 0, [10, 10, 40]))
    merge.accept(chunk("b", 0, [20]))
    merge.note_end(at_end("a", 3))
    merge.note_end(at_end("b", 1))
    assert merge.waiting == 4
    assert len(merge.peek(10, PLENTY)) == 4
    held = [chunk("a", 0, [10, 10, 40]).held, chunk("b", 0, [20]).held]
    assert merge.consume(1) == [("a", 1, 0)]
    assert merge.consume(3) == [("a", 1, 0), ("b", 1, held[1]), ("a", 1, held[0])]
    assert merge.waiting == 0
    assert merge.applied == {"a": Applied(3, 40), "b": Applied(1, 20)}


def test_chunk_knows_about_how_much_memory_its_records_hold() -> None:
    """Headers weigh more than the payload of small records; a sample of them is enough."""
    plain = chunk("a", 0, [10] * 100)
    headers = tuple((f"ce_{n}", b"x" * 20) for n in range(10))
    rich = Chunk("a", 0, 100, 0, [r._replace(headers=headers) for r in plain.records])
    assert plain.size == rich.size == 100
    assert rich.held - plain.held == 100 * 10 * 220


def test_merge_within_a_topic_keeps_offset_order_when_time_steps_back() -> None:
    """Append time may step back with the broker's clock; the running maximum sorts instead."""
    merge = Merge(["a", "b"], Meta())
    merge.accept(chunk("a", 0, [100, 50, 60]))
    merge.accept(chunk("b", 0, [70, 110]))
    merge.note_end(at_end("a", 3))
    merge.note_end(at_end("b", 2))
    assert names(merge.peek(10, PLENTY)) == ["b0", "a0", "a1", "a2", "b1"]


def test_merge_with_a_missing_offset_range_raises() -> None:
    """A chunk that does not begin at the last fetch position is a hole."""
    merge = Merge(["a"], Meta())
    merge.accept(chunk("a", 0, [1, 2]))
    with pytest.raises(HoleError, match="delivered from 3, expected 2"):
        merge.accept(chunk("a", 3, [5]))


def test_merge_that_does_not_begin_at_the_applied_offset_raises() -> None:
    """What is delivered first must be what the state has not applied yet."""
    merge = Merge(["a"], Meta(applied={"a": Applied(4, 0)}))
    with pytest.raises(HoleError, match="delivered from 0, expected 4"):
        merge.accept(chunk("a", 0, [1]))


def test_merge_over_control_records_follows_the_fetch_position() -> None:
    """Offsets taken by transactions' control records are no hole, and are applied with the rest."""
    merge = Merge(["a"], Meta())
    merge.accept(chunk("a", 0, [1], end=2))
    merge.accept(Chunk("a", 2, 4, 0, ()))
    merge.accept(chunk("a", 4, [3], end=6))
    assert names(merge.peek(10, PLENTY)) == ["a0", "a4"]
    merge.consume(1)
    assert merge.applied["a"] == Applied(2, 1)
    merge.consume(1)
    assert merge.applied["a"] == Applied(6, 3)


def test_merge_applied_within_a_chunk_is_the_next_record() -> None:
    """A unit cut inside a chunk goes on exactly there."""
    merge = Merge(["a"], Meta())
    merge.accept(chunk("a", 0, [1, 2, 3]))
    merge.peek(2, PLENTY)
    merge.consume(2)
    assert merge.applied["a"] == Applied(2, 2)
    assert names(merge.peek(5, PLENTY)) == ["a2"]


def test_merge_peek_stops_at_the_byte_bound_but_gives_one() -> None:
    """A unit's input is bounded in bytes; a single larger record is a unit of its own."""
    merge = Merge(["a"], Meta())
    merge.accept(Chunk("a", 0, 3, 0, [record("a", i, i, size=100) for i in range(3)]))
    assert names(merge.peek(10, 250)) == ["a0", "a1"]
    assert names(merge.peek(10, 50)) == ["a0"]


def test_merge_for_one_topic_gives_its_next_record_alone() -> None:
    """While nothing but control may be processed, its records come one at a time."""
    merge = Merge(["c", "a"], Meta())
    merge.accept(chunk("a", 0, [1]))
    assert merge.peek_topic("c") == []
    merge.accept(chunk("c", 0, [5, 9]))
    assert names(merge.peek_topic("c")) == ["c0"]
    merge.consume(1)
    merge.note_end(at_end("c", 2))
    merge.note_end(at_end("a", 1))
    assert names(merge.peek(10, PLENTY)) == ["a0", "c1"]


def test_merge_in_any_interleaving_of_fetches_gives_one_order() -> None:
    """However the fetches of the topics interleave, a replay gives the same order."""
    for seed in range(200):
        rng = random.Random(seed)
        topics = ["c", "a", "b"]
        logs = {}
        for topic in topics:
            clock, log = 0, []
            for _ in range(rng.randrange(12)):
                clock += rng.randrange(3)
                log.append(clock)
            logs[topic] = log
        expected = sorted(
            ((t, topics.index(topic), n) for topic in topics for n, t in enumerate(logs[topic])),
        )
        merge = Merge(topics, Meta())
        positions = dict.fromkeys(topics, 0)
        released: list[str] = []
        for _ in range(500):
            topic = rng.choice(topics)
            start = positions[topic]
            stop = min(len(logs[topic]), start + rng.randrange(4))
            if stop > start:
                merge.accept(chunk(topic, start, logs[topic][start:stop]))
                positions[topic] = stop
            merge.note_end(TopicEnd(topic, stop, len(logs[topic]), LATER))
            taken = merge.peek(rng.randrange(1, 5), PLENTY)
            merge.consume(len(taken))
            released += names(taken)
        assert released == [f"{topics[rank]}{n}" for _, rank, n in expected], f"seed {seed}"
        assert merge.waiting == 0


def test_merge_tells_since_when_its_next_record_waits_released_or_held() -> None:
    """Operators see how old what is not applied is."""
    merge = Merge(["a", "b"], Meta())
    assert merge.oldest_ms == 0
    merge.accept(chunk("a", 0, [30, 50]))
    merge.accept(chunk("b", 0, [10]))
    assert merge.oldest_ms == 10
    merge.peek(1, PLENTY)
    assert merge.oldest_ms == 10
    merge.consume(1)
    assert merge.oldest_ms == 30
