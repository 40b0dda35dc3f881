"""What one matter contributes to its entity: derived from its slots, from scratch, every time.

An event changes one matter. The entity is brought up to date by taking the matter's old
contribution out and putting the new one in, so a counter is never bumped and a correction, a
withdrawal or a late fact needs no code of its own.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.licence_standing import NO_END_DAY
from services.lifecycle.folding.facts import DaySums, Draft, Fact, coded
from services.lifecycle.folding.handlers import ROUTES, Route
from services.lifecycle.folding.lists import sort_key
from services.lifecycle.view import MatterView

DayOf = Callable[[int], int]
"""Moment in milliseconds → civil day since 1970-01-01, in the zone of the entity key's scheme."""
Entries = dict[bytes, Message]
"""Sort key (order ‖ id) → entry of one list."""

_SECTIONED_KINDS = frozenset({"registration", "licence", "listing", ""})
"""Kinds shown in a section of their own, not among the matters."""


@dataclass(slots=True)
class Contribution:
    """One matter's share in its entity."""

    entries: dict[str, Entries] = field(default_factory=dict)
    """List name → what the matter has in the entity's list of that name."""
    sums: DaySums = field(default_factory=dict)
    """(day, counter, code) → amount."""
    totals: dict[tuple[int, str], int] = field(default_factory=dict)
    """(counter, code) → amount that belongs to no day."""
    view: MatterView | None = None
    """The matter as rules see it; None when no fact stands."""


EMPTY = Contribution()


def _mark_of(matter_id: str) -> str:
    """Eight hexadecimal digits that tell the matters of one slot apart."""
    return f"{zlib.crc32(matter_id.encode()):08x}"


def slot_key(slot: state_pb2.Slot, matter_mark: str) -> str:
    """Text form of a slot's key in one matter; a source system's name holds no `|`.

    A record that was moved stands in two matters until the old one is left. Both make entries of
    the same list, order and slot: without the matter they would be one, and leaving the old matter
    would take away what the new one states.
    """
    return f"{slot.source_system}|{slot.source_record_id}|{matter_mark}"


def facts_of(matter: state_pb2.MatterState, day_of: DayOf) -> list[tuple[Fact, Route, Any]]:
    """Standing facts of a matter with route and body, in folding order."""
    facts = []
    matter_id = matter.matter_id
    mark = _mark_of(matter_id)
    for slot in matter.slots:
        if slot.disposition != DISPOSITION_ASSERTED:
            continue
        holder = slot.WhichOneof("event")
        if holder is None:
            continue
        event = getattr(slot, holder)
        arm = event.WhichOneof("body")
        envelope = event.envelope
        time = envelope.event_time
        time_ms = time.seconds * 1_000 + time.nanos // 1_000_000
        fact = Fact(
            envelope,
            arm,
            time_ms,
            day_of(time_ms),
            slot_key(slot, mark),
            envelope.event_id,
            matter_id,
        )
        facts.append((fact, ROUTES[holder][arm], getattr(event, arm)))
    if len(facts) > 1:
        facts.sort(key=lambda item: (item[0].event_time_ms, item[1].number, item[0].slot_key))
    return facts


def contribution_of(matter: state_pb2.MatterState | None, day_of: DayOf) -> Contribution:
    """Fold a matter's standing facts. InvalidEventError when one of them cannot be folded."""
    if matter is None:
        return EMPTY
    facts = facts_of(matter, day_of)
    if not facts:
        return EMPTY
    draft = Draft()
    for fact, route, body in facts:
        route.fold(fact, body, draft)
        draft.count(fact, state_pb2.COUNTER_FACTS)
        _envelope_claims(fact, draft)
    recent: Entries = {}
    for fact, route, _body in facts:
        entry = state_pb2.RecentFact(
            event_id=fact.event_id,
            event_type=route.event_type,
            event_time_ms=fact.event_time_ms,
            day=fact.day,
            matter_id=fact.matter_id,
            slot_key=fact.slot_key,
            code=draft.evidence_codes.get(fact.slot_key, ""),
        )
        recent[sort_key("recent_facts", entry)] = entry
    result = Contribution({"recent_facts": recent}, draft.sums)
    _fill(result, draft, matter, [item[0] for item in facts])
    return result


def _envelope_claims(fact: Fact, draft: Draft) -> None:
    envelope = fact.envelope
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_NAME, envelope.stated_entity_name, rank=0)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_DIVISION, coded(envelope.division), rank=0)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_INDUSTRY, coded(envelope.industry), rank=0)


def _fill(
    result: Contribution, draft: Draft, matter: state_pb2.MatterState, facts: list[Fact]
) -> None:
    digest = state_pb2.MatterDigest(
        matter_id=matter.matter_id,
        kind=draft.kind,
        stage=draft.stage,
        open=draft.open,
        opened_time_ms=facts[0].event_time_ms,
        last_time_ms=facts[-1].event_time_ms,
        outcome=draft.outcome,
        due_day=draft.due_day,
    )
    _list(result, "claims", draft.claims)
    _list(result, "registration_facts", draft.status_facts)
    _list(result, "inspections", draft.inspections)
    _list(result, "listings", [] if draft.listing is None else [draft.listing])
    _list(result, "licences", [] if draft.licence is None else [draft.licence])
    _list(result, "penalties", [] if draft.penalty is None else [draft.penalty])
    _list(result, "matters", [] if draft.kind in _SECTIONED_KINDS else [digest])
    if draft.open:
        result.totals[state_pb2.COUNTER_OPEN_MATTERS, draft.kind] = 1
    result.view = MatterView(
        digest=digest,
        licence=draft.licence,
        penalty=draft.penalty,
        inspections=tuple(draft.inspections),
        anchors=tuple(_anchors(draft)),
        days=tuple(sorted({fact.day for fact in facts})),
    )


def _list(result: Contribution, name: str, entries: Sequence[Message]) -> None:
    if entries:
        result.entries[name] = {sort_key(name, entry): entry for entry in entries}


def _anchors(draft: Draft) -> Iterator[tuple[str, int]]:
    """Dates of the matter that rules may wait for."""
    licence = draft.licence
    if licence is not None and licence.terms and licence.to_day != NO_END_DAY:
        yield "licence_to_day", licence.to_day
    if draft.due_day and draft.kind not in _SECTIONED_KINDS:
        yield "matter_due_day", draft.due_day
