"""Laws of the fold: order-free, idempotent, bounded, and every event type shows in the profile."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_supervision.common.v1 import envelope_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.families import FamilyEvent
from services.lifecycle.folding.facts import InvalidEventError
from services.lifecycle.folding.handlers import FOLDS, ROUTES, SLOT_FIELDS
from services.lifecycle.folding.slots import SLOTS_MAX, Verdict
from services.lifecycle.tests.fold_rig import Partition, all_arms, example, prepared

_UNREMARKABLE = {
    "recent_facts",
    "totals",
    "first_event_time_ms",
    "last_event_time_ms",
    "entity_key",
}
"""Counters, timeline and last-seen: a field changed only there does not show what happened."""


def _profile(entity: state_pb2.EntityState) -> dict[str, bytes]:
    """What of an entity is neither counter nor timeline nor last-seen, and not in every event."""
    shown = state_pb2.EntityState()
    shown.CopyFrom(entity)
    claims = [claim for claim in shown.claims if claim.rank == 1]
    del shown.claims[:]
    shown.claims.extend(claims)
    for matter in shown.matters:
        matter.ClearField("last_time_ms")
        matter.ClearField("opened_time_ms")
    return {
        field.name: b"".join(m.SerializeToString() for m in value)
        if field.is_repeated and field.message_type
        else str(value).encode()
        for field, value in shown.ListFields()
        if field.name not in _UNREMARKABLE
    }


def _preceding(family: str, arm: str) -> list[FamilyEvent]:
    """What usually comes before an event type, so that it has something to change."""
    before = {
        "entity_changed": ["entity_established"],
        "licence_renewed": ["licence_granted"],
        "licence_expired": ["licence_granted"],
        "licence_revoked": ["licence_granted"],
        "licence_cancelled": ["licence_granted"],
        "abnormal_operations_removed": ["abnormal_operations_listed"],
        "inspection_completed": ["inspection_planned"],
        "rectification_reported": ["rectification_ordered"],
        "rectification_verified": ["rectification_ordered"],
        "penalty_publication_withdrawn": ["penalty_decided", "penalty_published"],
        "fine_paid": ["penalty_decided"],
    }.get(arm, [])
    return [
        prepared(example(family, name), record=f"before{i}", day=i) for i, name in enumerate(before)
    ]


def test_folds_cover_every_event_type_and_nothing_else() -> None:
    """Every arm of every family has a fold, and no fold is for an arm that is gone."""
    assert set(FOLDS) == set(all_arms())


@pytest.mark.parametrize(("family", "arm"), all_arms())
def test_event_type_changes_a_profile_field(family: str, arm: str) -> None:
    """An event of each type changes something of the profile beyond counters and timeline."""
    partition = Partition().fold_all(_preceding(family, arm))
    before = _profile(partition.entity())
    partition.fold(prepared(example(family, arm), record="subject", day=20))
    after = _profile(partition.entity())
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed, f"{family}.{arm} leaves no trace in the profile"


@pytest.mark.parametrize(("family", "arm"), all_arms())
def test_event_type_without_fold_body_leaves_no_trace(
    family: str, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its handler emptied an event type changes nothing: so the test above can fail."""
    routes = ROUTES[SLOT_FIELDS[family]]
    emptied = routes[arm]._replace(fold=lambda _fact, _body, _draft: None)
    monkeypatch.setitem(routes, arm, emptied)
    partition = Partition().fold_all(_preceding(family, arm))
    before = _profile(partition.entity())
    partition.fold(prepared(example(family, arm), record="subject", day=20))
    assert _profile(partition.entity()) == before


def _history(seed: int, count: int) -> list[FamilyEvent]:
    """A random history of one entity: facts, corrections, withdrawals and moves."""
    rng = random.Random(seed)
    arms = all_arms()
    events = []
    for number in range(count):
        family, arm = rng.choice(arms)
        record, matter = f"r{number}", f"test/m{rng.randrange(max(2, count // 3))}"
        base = example(family, arm)
        versions = rng.choice([1, 1, 1, 2, 3])
        for version in range(1, versions + 1):
            disposition = envelope_pb2.DISPOSITION_ASSERTED
            if version == versions > 1 and rng.random() < 0.4:
                disposition = rng.choice(
                    [envelope_pb2.DISPOSITION_WITHDRAWN, envelope_pb2.DISPOSITION_MOVED]
                )
            events.append(
                prepared(
                    base,
                    record=record,
                    version=version,
                    matter=matter,
                    day=rng.randrange(800),
                    disposition=disposition,
                )
            )
    return events


@given(seed=st.integers(0, 10**9), shuffle=st.integers(0, 10**9), unit=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_fold_is_order_free_and_idempotent(seed: int, shuffle: int, unit: int) -> None:
    """The same facts in any order, repeated at will and cut into any units, give one digest."""
    events = _history(seed, 25)
    straight = Partition().fold_all(events).digest()
    rng = random.Random(shuffle)
    mixed = events + rng.choices(events, k=10)
    rng.shuffle(mixed)
    assert Partition().fold_all(mixed, unit=unit).digest() == straight


def test_capped_list_refills_from_index_when_a_shown_fact_is_withdrawn() -> None:
    """After withdrawals a capped list shows what it would show had the facts never come."""
    base = example("inspections", "inspection_completed")
    facts = [prepared(base, record=f"r{i}", matter=f"test/m{i}", day=i) for i in range(30)]
    withdrawn = [
        prepared(
            base,
            record=f"r{i}",
            matter=f"test/m{i}",
            version=2,
            day=i,
            disposition=envelope_pb2.DISPOSITION_WITHDRAWN,
        )
        for i in range(18, 30)
    ]
    partition = Partition().fold_all(facts + withdrawn)
    expected = Partition().fold_all(facts[:18])
    assert partition.entity() == expected.entity()
    assert [i.matter_id for i in partition.entity().inspections] == [
        f"test/m{i}" for i in range(10, 18)
    ]


@pytest.mark.parametrize("unit", [1, 3])
@pytest.mark.parametrize(
    ("family", "arm"),
    [
        ("complaints", "complaint_received"),
        ("inspections", "inspection_completed"),
        ("registration", "entity_established"),
    ],
)
def test_fact_moved_to_another_matter_stays_in_the_lists(family: str, arm: str, unit: int) -> None:
    """A correction that changes the matter alone leaves what the new matter states in the lists.

    Until the old matter is left both of them hold the fact at the same moment.
    """
    base = example(family, arm)
    moved = [
        prepared(base, version=1, matter="test/old", day=1),
        prepared(base, version=2, matter="test/new", day=1),
        prepared(
            base,
            version=2,
            matter="test/old",
            day=1,
            disposition=envelope_pb2.DISPOSITION_MOVED,
        ),
    ]
    partition = Partition().fold_all(moved, unit=unit)
    straight = Partition().fold_all([prepared(base, version=2, matter="test/new", day=1)])
    assert partition.entity() == straight.entity()
    listed = [key for key in partition.store.local if key.startswith(b"\x01l|")]
    assert listed == [key for key in straight.store.local if key.startswith(b"\x01l|")]


def test_conflicting_content_under_one_version_is_refused_and_changes_nothing() -> None:
    """Of two contents under one version the first holds; the other is an invalid event."""
    first = prepared(example("complaints", "complaint_received"), day=1)
    other = prepared(example("complaints", "complaint_received"), day=2)
    partition = Partition().fold_all([first])
    digest = partition.digest()
    with pytest.raises(InvalidEventError) as raised:
        partition.fold(other)
    assert raised.value.reason == "SOURCE_VERSION_CONFLICT"
    assert partition.digest() == digest


def test_older_version_after_newer_is_superseded() -> None:
    """A version older than the one held changes nothing."""
    base = example("complaints", "complaint_received")
    partition = Partition().fold_all([prepared(base, version=2, day=3)])
    assert partition.fold(prepared(base, version=1, day=1)).verdict is Verdict.SUPERSEDED


def test_overflowed_matter_stays_bounded_and_counts_every_fact_once() -> None:
    """Beyond its cap a matter keeps the newest slots, and every fact still counts exactly once."""
    base = example("inspections", "inspection_completed")
    count = SLOTS_MAX + 30
    facts = [prepared(base, record=f"r{i:03}", day=i) for i in range(count)]
    partition = Partition().fold_all(facts)
    for again in facts:
        assert partition.fold(again).verdict is Verdict.DUPLICATE
    matter = state_pb2.MatterState.FromString(
        partition.store.committed[b"uscc:91442000XX0000019R|t|test/m1"]
    )
    assert len(matter.slots) == SLOTS_MAX
    assert matter.stub_count == 30
    totals = {total.counter: total.sum for total in partition.entity().totals}
    assert totals[state_pb2.COUNTER_INSPECTIONS] == count


def test_cost_of_an_event_does_not_grow_with_the_history() -> None:
    """Changelog bytes an event of an entity with many matters stay within 1.5 of one with ten."""

    def bytes_per_event(matters: int) -> float:
        base = example("inspections", "inspection_completed")
        partition = Partition()
        start = 4000 - matters // 4
        for number in range(matters):
            event = prepared(
                base, record=f"r{number}", matter=f"test/m{number}", day=start + number // 4
            )
            partition.fold(event, end_unit=number % 50 == 0)
        partition.end_unit()
        written = 0
        for number in range(20):
            event = prepared(base, record=f"x{number}", matter=f"test/x{number}", day=4001)
            partition.fold(event, end_unit=False)
            written += sum(len(k) + len(v) for k, v in partition.end_unit().items())
        return written / 20

    assert bytes_per_event(4_000) <= 1.5 * bytes_per_event(10)
