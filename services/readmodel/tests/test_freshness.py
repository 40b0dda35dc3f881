"""What an answer may say about its age."""

from services.readmodel import freshness
from services.readmodel.freshness import UNKNOWN_LAG_RECORDS, Freshness, of_topic, reading
from services.readmodel.positions import Heads
from services.streaming import meta
from services.streaming.meta import Applied, Meta

TOPIC = "market-supervision.complaints.v1"


def _meta(next_offset: int, append_ms: int) -> bytes:
    return meta.encode(Meta(1, append_ms, {TOPIC: Applied(next_offset, append_ms)}))


def _heads(asked_ms: int, end: int) -> bytes:
    return Heads(asked_ms, {TOPIC: end}).encode()


def test_freshness_at_the_end_is_as_of_when_the_end_was_asked() -> None:
    """A source read to its end is current although it has been silent for long."""
    known = reading([_meta(7, 1_000), _meta(7, 1_000), _heads(90_000, 7)])

    assert of_topic(known, TOPIC) == Freshness(TOPIC, 90_000, 0, 7, 1_000)


def test_freshness_behind_the_end_is_as_of_the_last_record() -> None:
    """Something is not applied yet, so the answer is as old as the last thing that is."""
    known = reading([_meta(7, 1_000), _meta(7, 1_000), _heads(90_000, 9)])

    assert of_topic(known, TOPIC) == Freshness(TOPIC, 1_000, 2, 7, 1_000)
    assert of_topic(known, TOPIC).lag_seconds(91_000) == 90


def test_freshness_takes_the_older_of_the_two_topics() -> None:
    """Until a unit is seen in both topics, it may be visible by half."""
    for values in ([_meta(7, 1_000), _meta(5, 800)], [_meta(5, 800), _meta(7, 1_000)]):
        found = of_topic(reading([*values, _heads(90_000, 7)]), TOPIC)

        assert (found.next_offset, found.lag_records, found.current_as_of_ms) == (5, 2, 800)


def test_freshness_of_a_source_missing_in_one_topic_counts_as_nothing_applied() -> None:
    """One META alone proves nothing."""
    for values in ([_meta(7, 1_000), None], [None, _meta(7, 1_000)]):
        found = of_topic(reading([*values, _heads(90_000, 7)]), TOPIC)

        assert (found.next_offset, found.lag_records) == (0, 7)


def test_freshness_of_an_empty_source_is_current() -> None:
    """Nothing was ever sent, and all of it is contained."""
    found = of_topic(reading([None, None, _heads(90_000, 0)]), TOPIC)

    assert found == Freshness(TOPIC, 90_000, 0, 0, 0)


def test_freshness_without_heads_says_that_the_lag_is_unknown() -> None:
    """No guess is made before the ends of the sources were asked for."""
    found = of_topic(reading([_meta(7, 1_000), _meta(7, 1_000), None]), TOPIC)

    assert found.lag_records == UNKNOWN_LAG_RECORDS
    assert found.current_as_of_ms == 1_000


def test_lag_of_an_answer_is_never_negative() -> None:
    """Clocks of two machines may differ."""
    assert freshness.Freshness(TOPIC, 2_000, 0, 1, 0).lag_seconds(1_000) == 0
