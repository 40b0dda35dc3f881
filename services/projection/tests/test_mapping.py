"""From Kafka records to what they change in the read model."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from market_supervision.alerts.v1.alert_pb2 import Alert
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.lifecycle.v1.state_pb2 import AlertThread, LinkRecord
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from services.contracts import state_keys
from services.projection import mapping
from services.projection.mapping import UnreadableRecordError
from services.readmodel import record
from services.readmodel.keys import Keys
from services.readmodel.pointers import POINTER_BYTES
from services.readmodel.positions import LIFECYCLE, LINKS, TIMELINE
from services.readmodel.record import Record, Term
from services.readmodel.writer import TopicBatch
from services.streaming.meta import META_KEY

KEYS = Keys("cafe0001")
ENTITY = "regno:442000000000001"
ENTRY_ID = "0123456789abcdef" * 2


def _batch(topic: str) -> TopicBatch:
    return TopicBatch(3, topic, None, 10)


def test_state_of_an_entity_is_kept_as_it_stands() -> None:
    """The newest record of a key is the one that is written."""
    batch = _batch(LIFECYCLE)
    for offset, value in enumerate([b"old", b"new"]):
        mapping.apply(KEYS, batch, offset, state_keys.entity_state(ENTITY), value)

    (value,) = batch.records.values()
    terms = (Term("entities:3", ENTITY.encode()),)
    assert batch.records.keys() == {KEYS.entity(ENTITY)}
    assert record.decode(value) == Record(1, terms, b"new")


def test_alert_thread_is_found_by_its_id() -> None:
    """A thread is listed by indexes and got by id."""
    batch = _batch(LIFECYCLE)
    thread = AlertThread(alert=Alert(alert_id="ab" * 16, entity_key=ENTITY))
    key = state_keys.alert_thread(ENTITY, "ab" * 16)
    mapping.apply(KEYS, batch, 5, key, thread.SerializeToString())

    (value,) = batch.records.values()
    assert batch.records.keys() == {KEYS.alert("ab" * 16)}
    assert f"alerts:entity:{ENTITY}" in {t.index_name for t in record.decode(value).terms}


@pytest.mark.parametrize(
    "key",
    [
        state_keys.matter_state(ENTITY, "src/1"),
        state_keys.slot_stub(ENTITY, "0" * 32),
        state_keys.month_bucket(ENTITY, 2026, 1),
        state_keys.year_bucket(ENTITY, 2026),
        b"\x00bundle",
        b"!counts|topic",
    ],
)
def test_state_that_the_stream_keeps_for_itself_is_passed_over(key: bytes) -> None:
    """Matters, buckets and what the partition keeps are not read by anybody outside."""
    batch = _batch(LIFECYCLE)
    mapping.apply(KEYS, batch, 0, key, b"\xff")

    assert batch == _batch(LIFECYCLE)


@pytest.mark.parametrize("topic", [LIFECYCLE, TIMELINE])
def test_meta_of_a_batch_is_the_last_one(topic: str) -> None:
    """Freshness is that of the last unit passed."""
    batch = _batch(topic)
    mapping.apply(KEYS, batch, 0, META_KEY, b"one")
    mapping.apply(KEYS, batch, 1, META_KEY, b"two")

    assert batch.meta == b"two"
    assert not batch.records


@pytest.mark.parametrize(
    ("disposition", "shown"),
    [
        (Disposition.DISPOSITION_ASSERTED, True),
        (Disposition.DISPOSITION_WITHDRAWN, True),
        (Disposition.DISPOSITION_MOVED, False),
    ],
)
def test_timeline_shows_withdrawn_facts_and_hides_moved_ones(
    disposition: Disposition.ValueType,
    shown: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """A withdrawn fact keeps its flag; a moved one stands somewhere else."""
    batch = _batch(TIMELINE)
    entry = TimelineEntry(entry_id=ENTRY_ID, disposition=disposition)
    entry.event_time.FromMilliseconds(1_234)
    value = entry.SerializeToString()
    mapping.apply(KEYS, batch, 7, f"{ENTITY}|{ENTRY_ID}".encode(), value)

    (fact,) = batch.timelines[ENTITY]
    assert fact.message == (value if shown else b"")
    assert (fact.pointer.time_ms, fact.pointer.offset) == (1_234, 7)
    assert fact.pointer.entry_hash.hex() == ENTRY_ID[:16]


def test_link_makes_an_alias_of_its_target_while_it_stands() -> None:
    """A withdrawn link keeps its record, so that an older one cannot come back."""
    for to_key, aliases in (("uscc:1", ["aliases:uscc:1"]), ("", [])):
        batch = _batch(LINKS)
        link = LinkRecord(from_key=ENTITY, to_key=to_key)
        mapping.apply(KEYS, batch, 0, ENTITY.encode(), link.SerializeToString())
        (value,) = batch.records.values()

        assert [t.index_name for t in record.decode(value).terms] == ["links", *aliases]


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        (LIFECYCLE, None, b""),
        (LIFECYCLE, b"x|e", None),
        (LIFECYCLE, b"nonsense", b""),
        (LIFECYCLE, b"smth", b""),
        (LIFECYCLE, b"x|z|1", b""),
        (LIFECYCLE, b"x|mz|1", b""),
        (LIFECYCLE, b"x|a|" + b"ab" * 16, b"\xff"),
        (LIFECYCLE, b"x|a|zz", AlertThread(alert=Alert(alert_id="zz")).SerializeToString()),
        (TIMELINE, b"no separator", b""),
        (TIMELINE, b"x|nothex", b""),
        (LINKS, b"x", b"\xff"),
    ],
)
def test_record_that_cannot_be_understood_stops_the_projection(
    topic: str, key: bytes | None, value: bytes | None
) -> None:
    """The read model never differs from the log in silence; the error names the place."""
    with pytest.raises(UnreadableRecordError, match=rf"record 4 of {topic}/3"):
        mapping.apply(KEYS, _batch(topic), 4, key, value)


@pytest.mark.parametrize("seconds", [-(1 << 62), 1 << 62, 300_000_000_000])
def test_time_that_no_calendar_holds_does_not_stop_the_projection(seconds: int) -> None:
    """One odd record on the log must not end every answer: it stands first or last in its order."""
    timeline, lifecycle = _batch(TIMELINE), _batch(LIFECYCLE)
    entry = TimelineEntry(entry_id=ENTRY_ID, event_time=Timestamp(seconds=seconds))
    key = f"{ENTITY}|{ENTRY_ID}".encode()
    mapping.apply(KEYS, timeline, 5, key, entry.SerializeToString())
    alert = Alert(alert_id="ab" * 16, raised_time=Timestamp(seconds=seconds))
    key = state_keys.alert_thread(ENTITY, "ab" * 16)
    mapping.apply(KEYS, lifecycle, 5, key, AlertThread(alert=alert).SerializeToString())

    ((fact,),) = timeline.timelines.values()
    assert len(fact.pointer.encode()) == POINTER_BYTES
    assert lifecycle.records.keys() == {KEYS.alert("ab" * 16)}
