"""What no intake would let through reaches the log all the same: it must not stop the stream."""

import random
from datetime import UTC, datetime

import pytest
from google.protobuf.message import Message
from market_supervision.control.v1.control_pb2 import BundleFile, ControlRecord, RuleBundle
from market_supervision.inspections.v1 import inspections_events_pb2 as inspections
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.penalties.v1 import penalties_events_pb2 as penalties

from services.contracts.bundles import BUNDLE_BYTES_MAX, BundleTooLargeError, build_bundle
from services.contracts.families import FamilyEvent
from services.lifecycle.dead_letter import LETTER_BYTES_MAX
from services.lifecycle.decoding import AMOUNT_FEN_MAX, EVENT_BYTES_MAX
from services.lifecycle.folding.slots import MATTER_BYTES_MAX
from services.lifecycle.tests.fold_rig import Partition, example, prepared
from services.lifecycle.tests.step_rig import TOPICS, StepRig
from services.lifecycle.working_set import CACHE_BYTES_MAX
from services.streaming.interface import SideRecord, SourceRecord


def _fine(amount_fen: int, number: int = 0, *, day: int = 1) -> FamilyEvent:
    event = example("penalties", "penalty_decided")
    assert isinstance(event, penalties.PenaltyEvent)
    event.penalty_decided.fine_amount_fen = amount_fen
    return prepared(event, record=f"f{number}", matter=f"test/f{number}", day=day)


def _long(number: int, characters: int, *, matter: str = "test/m1") -> FamilyEvent:
    event = example("inspections", "inspection_completed")
    assert isinstance(event, inspections.InspectionEvent)
    event.inspection_completed.findings[0].legal_article = "长" * characters
    return prepared(event, record=f"r{number}", matter=matter, day=number)


def _letter(rig: StepRig) -> tuple[SideRecord, dict[str, bytes]]:
    (letter,) = rig.on(TOPICS.dead_letter)
    return letter, dict(letter.headers)


def _still_folds(rig: StepRig) -> None:
    """A good event after the bad one is folded."""
    rig.feed(_fine(100, 99), day=20)
    assert b"uscc:91442000XX0000019R|t|test/f99" in rig.store.committed


@pytest.mark.parametrize("amount", [9 * 10**18, AMOUNT_FEN_MAX + 1, -1])
def test_amount_beyond_the_contract_is_dead_lettered(amount: int) -> None:
    """No amount of one event may come near the end of 64 bits, or take from a sum."""
    rig = StepRig()
    rig.feed(_fine(amount), day=1)
    assert _letter(rig)[1]["dlq-reason"] == b"CONTENT_INVALID"
    _still_folds(rig)


def test_sum_beyond_64_bits_is_dead_lettered_and_changes_nothing() -> None:
    """The event that would make a total overflow is refused before anything of it is written."""
    rig = StepRig()
    rig.feed(_fine(100), day=1)
    key = b"uscc:91442000XX0000019R|e"
    entity = state_pb2.EntityState.FromString(rig.store.committed[key])
    for held in entity.totals:
        if held.counter == state_pb2.COUNTER_FINES_FEN:
            held.sum = (1 << 63) - 1_000
    full = entity.SerializeToString(deterministic=True)
    again = StepRig()
    again.store.committed = dict(rig.store.committed) | {key: full}
    again.feed(_fine(2_000, 1), day=2)
    assert _letter(again)[1]["dlq-reason"] == b"CONTENT_INVALID"
    assert again.store.committed[key] == full
    again.feed(_fine(999, 2), day=2)
    assert again.store.committed[key] != full


def test_matter_of_large_events_stays_within_a_record() -> None:
    """Of 65 events of 66 KB the newest are held, the older ones are stubs, and all are counted."""
    rig = StepRig()
    for number in range(65):
        rig.feed(_long(number, 22_000), day=number)
    matter = rig.store.committed[b"uscc:91442000XX0000019R|t|test/m1"]
    held = state_pb2.MatterState.FromString(matter)
    assert len(matter) <= MATTER_BYTES_MAX
    assert held.stub_count + len(held.slots) == 65
    assert {slot.source_record_id for slot in held.slots} >= {"r64", "r60"}
    entity = state_pb2.EntityState.FromString(rig.store.committed[b"uscc:91442000XX0000019R|e"])
    totals = {held.counter: held.sum for held in entity.totals}
    assert totals[state_pb2.COUNTER_INSPECTIONS] == 65


def test_single_event_larger_than_a_matter_may_grow_is_held() -> None:
    """The last slot of a matter stays, however large its event."""
    rig = StepRig()
    rig.feed(_long(1, 300_000), day=1)
    matter = rig.store.committed[b"uscc:91442000XX0000019R|t|test/m1"]
    assert len(matter) > MATTER_BYTES_MAX
    assert not rig.on(TOPICS.dead_letter)


def test_caches_are_bounded_by_bytes_not_only_by_number() -> None:
    """Large matters are read again from the store rather than kept by the thousand."""
    rig = StepRig()
    for number in range(40):
        rig.feed(_long(number, 300_000, matter=f"test/m{number}"), day=1)
    working = rig.step._working
    assert working is not None
    held = [record for record in working._records.values() if record is not None]
    assert sum(record.ByteSize() for record in held) <= CACHE_BYTES_MAX
    assert sum(map(len, rig.step._index._known)) <= CACHE_BYTES_MAX
    rig.feed(_long(100, 10, matter="test/m0"), day=2)
    matter = rig.store.committed[b"uscc:91442000XX0000019R|t|test/m0"]
    assert state_pb2.MatterState.FromString(matter).stub_count == 1


def test_event_and_entry_too_large_for_the_state_are_dead_lettered() -> None:
    """Neither a giant event nor a giant name in a small one can break the state's records."""
    rig = StepRig()
    rig.feed(_long(1, EVENT_BYTES_MAX // 2), day=1)
    named = _fine(100)
    named.envelope.stated_entity_name = "名" * 10_000
    rig.feed(named, day=1)
    reasons = [dict(letter.headers)["dlq-reason"] for letter in rig.on(TOPICS.dead_letter)]
    assert reasons == [b"CONTENT_INVALID"] * 2
    assert rig.on(TOPICS.dead_letter)[0].value
    _still_folds(rig)


def _with_headers(record: SourceRecord, *headers: tuple[str, bytes | None]) -> SourceRecord:
    return record._replace(headers=headers)


def test_header_without_a_value_is_dead_lettered_and_written_as_empty() -> None:
    """A payload hash, or any other header, may come without a value."""
    rig = StepRig()
    record = rig.event_record(_fine(100), 1)
    rig.run(_with_headers(record, ("payload-hash", None), ("other", None)))
    headers = _letter(rig)[1]
    assert headers["dlq-reason"] == b"EVENT_INVALID"
    assert (headers["payload-hash"], headers["other"]) == (b"", b"")
    _still_folds(rig)


@pytest.mark.parametrize("seconds", [-(10**12), -62_135_596_801, 253_402_300_800, 2**62, 10**11])
def test_event_time_that_is_no_moment_is_dead_lettered(seconds: int) -> None:
    """A time beyond the years that a calendar can hold is refused, not computed with."""
    rig = StepRig()
    event = _fine(100)
    event.envelope.event_time.seconds = seconds
    rig.feed(event, day=1)
    assert _letter(rig)[1]["dlq-reason"] == b"CONTENT_INVALID"
    _still_folds(rig)


def test_reason_shows_long_values_cut() -> None:
    """A key of many kilobytes is not repeated in the reason."""
    rig = StepRig()
    rig.run(rig.event_record(_fine(100), 1)._replace(key=b"k" * 100_000))
    headers = _letter(rig)[1]
    assert len(headers["dlq-reason-en"]) < 500
    assert len(headers["dlq-reason-zh"]) < 900


def test_dead_letter_larger_than_a_record_is_cut_and_says_so() -> None:
    """Of a source record larger than any dead letter the beginning is kept, and its length."""
    rig = StepRig()
    record = rig.record("t.complaints", b"k" * 200_000, b"\xff" * 3_000_000, 1)
    rig.run(_with_headers(record, *((f"h{n}", b"v" * 1_000) for n in range(2_000))))
    letter, headers = _letter(rig)
    assert headers["dlq-truncated"] == b"3000000"
    assert headers["dlq-key-truncated"] == b"200000"
    assert headers["dlq-headers-truncated"] == b"2000"
    assert letter.value == b"\xff" * LETTER_BYTES_MAX


def test_unknown_fields_are_not_copied_into_the_state() -> None:
    """Bytes that this release cannot read do not grow its state."""
    rig = StepRig()
    event = _fine(100)
    record = rig.event_record(event, 1)
    unknown = b"\xfa\x7f\x90\x4e" + b"u" * 10_000  # field 2047, 10 000 bytes
    rig.run(record._replace(value=(record.value or b"") + unknown))
    matter = rig.store.committed[b"uscc:91442000XX0000019R|t|test/f0"]
    assert not rig.on(TOPICS.dead_letter)
    assert len(matter) < 5_000


def test_bundle_larger_than_a_state_record_is_refused_and_dead_lettered() -> None:
    """A bundle that compresses well is bounded by its size as it is, at both ends of the log."""
    files = [BundleFile(path="rules/R98-x.yaml", content=b"#" * BUNDLE_BYTES_MAX)]
    with pytest.raises(BundleTooLargeError):
        build_bundle(files, 2, datetime(2026, 1, 1, tzinfo=UTC))
    rig = StepRig()
    rig.control(ControlRecord(rule_bundle=RuleBundle(version=2, files=files)), day=1)
    headers = _letter(rig)[1]
    assert headers["dlq-reason"] == b"BUNDLE_INVALID"
    assert "dlq-truncated" in headers
    _still_folds(rig)


def test_bundle_with_an_impossible_time_is_dead_lettered() -> None:
    """A moment that is none does not stop the stream."""
    rig = StepRig()
    bundle = RuleBundle(version=2)
    bundle.effective_time.seconds = 2**62
    rig.control(ControlRecord(rule_bundle=bundle), day=1)
    assert _letter(rig)[1]["dlq-reason"] == b"BUNDLE_INVALID"


def _listed(partition: Partition) -> tuple[dict[str, list[bytes]], dict[str, list[bytes]]]:
    """Entries that the entity shows, and those of the local index, by list."""
    entity = partition.entity()
    lists = ("claims", "matters", "inspections", "recent_facts")
    shown: dict[str, list[bytes]] = {}
    indexed: dict[str, list[bytes]] = {}
    for name in lists:
        entries: list[Message] = list(getattr(entity, name))
        shown[name] = sorted(entry.SerializeToString(deterministic=True) for entry in entries)
        prefix = f"\x01l|{entity.entity_key}|{name}|".encode()
        indexed[name] = sorted(v for k, v in partition.store.local.items() if k.startswith(prefix))
    return shown, indexed


@pytest.mark.parametrize("seed", range(3))
def test_overflowed_matter_leaves_entity_and_index_agreeing(seed: int) -> None:
    """What is pushed out leaves lists and stages for good; what it counted stays counted."""
    rng = random.Random(seed)
    partition = Partition()
    planned = example("inspections", "inspection_planned")
    partition.fold(prepared(planned, record="a-first", day=0))
    reported = example("inspections", "rectification_reported")
    days = list(range(1, 90))
    rng.shuffle(days)
    for day in days:
        partition.fold(prepared(reported, record=f"r{day}", day=day), end_unit=day % 3 == 0)
    partition.end_unit()
    shown, indexed = _listed(partition)
    for name, entries in shown.items():
        assert set(entries) <= set(indexed[name]), name
    totals = {(held.counter, held.code): held.sum for held in partition.entity().totals}
    (matter,) = partition.entity().matters
    assert matter.kind == "rectification"
    assert totals[state_pb2.COUNTER_OPEN_MATTERS, "rectification"] == 1
    assert (state_pb2.COUNTER_OPEN_MATTERS, "inspection") not in totals
    assert totals[state_pb2.COUNTER_FACTS, ""] == 90
    first = prepared(planned, day=0).envelope.event_time.ToMilliseconds()
    assert partition.entity().first_event_time_ms == first
    done = example("inspections", "rectification_verified")
    assert isinstance(done, inspections.InspectionEvent)
    done.rectification_verified.result = inspections.VERIFICATION_RESULT_RECTIFIED
    partition.fold(prepared(done, record="z-last", day=95))
    assert not any(h.counter == state_pb2.COUNTER_OPEN_MATTERS for h in partition.entity().totals)
