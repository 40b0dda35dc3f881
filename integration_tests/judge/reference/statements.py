"""What facts state about their entity: particulars, standing, listings, results. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.reference.facts import Fact, coded, word

STATUS_ARMS = frozenset(
    {
        "entity_established",
        "entity_deregistered",
        "business_licence_revoked",
        "business_suspended",
        "business_resumed",
        "simple_deregistration_notice_published",
        "simple_deregistration_objected",
        "simple_deregistration_notice_withdrawn",
    }
)
"""Event types that bear on whether the entity is in business."""

Stated = Iterator[tuple[int, str]]
"""Attribute and value."""


def _particulars(body: Any) -> Stated:
    yield state_pb2.ATTRIBUTE_KIND_NAME, body.name
    yield state_pb2.ATTRIBUTE_KIND_ENTITY_TYPE, word(body, "entity_type")
    yield state_pb2.ATTRIBUTE_KIND_LEGAL_REPRESENTATIVE_KEY, body.legal_representative_key
    yield state_pb2.ATTRIBUTE_KIND_BUSINESS_SCOPE, body.business_scope
    yield state_pb2.ATTRIBUTE_KIND_INDUSTRY, coded(body.industry)
    if body.HasField("registered_capital_amount_fen"):
        capital = str(body.registered_capital_amount_fen)
        yield state_pb2.ATTRIBUTE_KIND_REGISTERED_CAPITAL_FEN, capital
    yield state_pb2.ATTRIBUTE_KIND_ADDRESS, body.address.text
    yield state_pb2.ATTRIBUTE_KIND_DIVISION, coded(body.address.division)


def _link(body: Any) -> Stated:
    yield state_pb2.ATTRIBUTE_KIND_LINKED_TO, f"{body.to.scheme}:{body.to.value}"


def _report_year(body: Any) -> Stated:
    yield state_pb2.ATTRIBUTE_KIND_ANNUAL_REPORT_YEAR, str(body.report_year)


STATEMENTS: Mapping[str, Callable[[Any], Stated]] = MappingProxyType(
    {
        "entity_established": _particulars,
        "entity_changed": _particulars,
        "entity_linked": _link,
        "annual_report_filed": _report_year,
    }
)
"""Event type → the attributes that registration itself states by it."""


def claims_of(fact: Fact) -> Iterator[state_pb2.AttributeClaim]:
    """Yield the statements of a fact: rank 1 its own, rank 0 those of its envelope."""
    envelope = fact.event.envelope
    carried = (
        (state_pb2.ATTRIBUTE_KIND_NAME, envelope.stated_entity_name),
        (state_pb2.ATTRIBUTE_KIND_DIVISION, coded(envelope.division)),
        (state_pb2.ATTRIBUTE_KIND_INDUSTRY, coded(envelope.industry)),
    )
    own = STATEMENTS[fact.arm](fact.body) if fact.arm in STATEMENTS else ()
    ranked = [(1, *stated) for stated in own] + [(0, *stated) for stated in carried]
    for rank, attribute, value in ranked:
        if value:
            yield state_pb2.AttributeClaim(
                attribute=attribute,  # type: ignore[arg-type]
                value=value,
                event_time_ms=fact.time_ms,
                day=fact.day,
                slot_key=fact.slot_key,
                event_id=envelope.event_id,
                rank=rank,
            )


def status_facts(facts: Sequence[Fact]) -> list[state_pb2.StatusFact]:
    """Return the facts of the registration axis."""
    return [
        state_pb2.StatusFact(
            kind=fact.arm,
            event_time_ms=fact.time_ms,
            day=fact.day,
            slot_key=fact.slot_key,
            event_id=fact.event.envelope.event_id,
            matter_id=fact.event.matter_id,
        )
        for fact in facts
        if fact.arm in STATUS_ARMS
    ]


def listing_of(facts: Sequence[Fact]) -> state_pb2.ListingState | None:
    """Return the listing that a matter is: the last listing, and a removal after it."""
    told = [fact for fact in facts if fact.arm.startswith("abnormal_operations_")]
    if not told:
        return None
    listed = [n for n, fact in enumerate(told) if fact.arm == "abnormal_operations_listed"]
    since = listed[-1] if listed else -1
    listing = state_pb2.ListingState(matter_id=told[0].event.matter_id)
    if listed:
        last = told[since]
        listing.reason = word(last.body, "reason")
        listing.listed_time_ms, listing.listed_day = last.time_ms, last.day
    for removal in told[since + 1 :]:
        listing.removed_time_ms, listing.removed_day = removal.time_ms, removal.day
    return listing


def penalty_of(facts: Sequence[Fact]) -> state_pb2.PenaltyDigest | None:
    """Return the penalty of a case, as decided, paid, published and repaired."""
    by_arm: dict[str, list[Fact]] = {}
    for fact in facts:
        by_arm.setdefault(fact.arm, []).append(fact)
    paid = [f for f in by_arm.get("fine_paid", []) if f.body.is_paid_in_full]
    public = [f for f in facts if f.arm in {"penalty_published", "penalty_publication_withdrawn"}]
    repair = [f for f in facts if f.arm.startswith("credit_repair_")]
    decided = by_arm.get("penalty_decided", [])
    if not (paid or public or repair or decided):
        return None
    digest = state_pb2.PenaltyDigest(
        matter_id=facts[0].event.matter_id,
        fine_paid=bool(paid),
        published=bool(public) and public[-1].arm == "penalty_published",
        credit_repair=repair[-1].arm.removeprefix("credit_repair_") if repair else "",
    )
    for fact in decided[-1:]:
        digest.decided_time_ms, digest.day = fact.time_ms, fact.day
        digest.violation_code = coded(fact.body.violation)
        digest.fine_amount_fen = fact.body.fine_amount_fen
        digest.kinds.extend(sorted(_kinds(fact.body)))
    return digest


def _kinds(body: Any) -> Iterator[str]:
    from_number = body.DESCRIPTOR.fields_by_name["kinds"].enum_type.values_by_number
    for number in body.kinds:
        known = from_number.get(number)
        name = str(number) if known is None else known.name.removeprefix("PENALTY_KIND_").lower()
        yield "" if number == 0 else name


def results_of(facts: Sequence[Fact]) -> Iterator[state_pb2.InspectionDigest]:
    """Yield the results of inspections and samples."""
    for fact in facts:
        if fact.arm == "inspection_completed":
            body = fact.body
            yield _result(fact, "inspection", word(body, "result"), body.findings, body)
        elif fact.arm == "sample_tested":
            conclusion = word(fact.body, "conclusion")
            told = "" if conclusion == "inconclusive" else conclusion
            yield _result(fact, "sample", told, fact.body.failed_items, fact.body.sample)


def _result(
    fact: Fact, kind: str, result: str, findings: Sequence[Any], at: Any
) -> state_pb2.InspectionDigest:
    gravest = max(findings, key=lambda finding: finding.severity, default=None)
    return state_pb2.InspectionDigest(
        matter_id=fact.event.matter_id,
        kind=kind,
        event_time_ms=fact.time_ms,
        day=fact.day,
        result=result,
        findings=len(findings),
        worst_severity="" if gravest is None else word(gravest, "severity"),
        place_type=word(at, "place_type"),
        slot_key=fact.slot_key,
    )


def evidence_code(fact: Fact) -> str:
    """Return the code by which a fact may be chosen as evidence."""
    if fact.arm in {"penalty_decided", "penalty_exempted"}:
        return coded(fact.body.violation)
    if fact.arm in {"complaint_received", "report_received"}:
        return coded(fact.body.topic)
    return ""
