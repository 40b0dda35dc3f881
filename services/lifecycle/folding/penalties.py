"""Administrative penalties (行政处罚): what each event type makes of its case. Pure."""

from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.penalties.v1 import penalties_events_pb2 as events

from services.lifecycle.folding.facts import Draft, Fact, coded, day_of_date, enum_word


def _penalty(fact: Fact, draft: Draft) -> state_pb2.PenaltyDigest:
    if draft.penalty is None:
        draft.penalty = state_pb2.PenaltyDigest(matter_id=fact.matter_id)
    return draft.penalty


def clue_registered(fact: Fact, body: events.ClueRegistered, draft: Draft) -> None:
    """A clue is to be verified (线索登记)."""
    draft.begin("case", "clue_registered")


def case_filed(fact: Fact, body: events.CaseFiled, draft: Draft) -> None:
    """A case was filed (立案)."""
    draft.advance("case", "filed")
    draft.count(fact, state_pb2.COUNTER_CASES_FILED)


def case_not_filed(fact: Fact, body: events.CaseNotFiled, draft: Draft) -> None:
    """It was decided to file no case (不予立案)."""
    ground = enum_word(events.NotFiledGround, body.ground, "NOT_FILED_GROUND_")
    draft.finish("case", "not_filed", ground)


def penalty_notice_served(fact: Fact, body: events.PenaltyNoticeServed, draft: Draft) -> None:
    """The party was told what penalty is intended (行政处罚告知)."""
    draft.advance("case", "notice_served")


def hearing_requested(fact: Fact, body: events.HearingRequested, draft: Draft) -> None:
    """The party asked for a hearing (申请听证)."""
    draft.advance("case", "hearing_requested")


def hearing_held(fact: Fact, body: events.HearingHeld, draft: Draft) -> None:
    """The hearing was held (举行听证)."""
    draft.advance("case", "hearing_held")


def penalty_decided(fact: Fact, body: events.PenaltyDecided, draft: Draft) -> None:
    """A penalty was decided (行政处罚决定); open until a fine is paid."""
    kinds = sorted(enum_word(events.PenaltyKind, kind, "PENALTY_KIND_") for kind in body.kinds)
    penalty = _penalty(fact, draft)
    penalty.decided_time_ms, penalty.day = fact.event_time_ms, fact.day
    penalty.violation_code = coded(body.violation)
    del penalty.kinds[:]
    penalty.kinds.extend(kinds)
    penalty.fine_amount_fen = body.fine_amount_fen
    if body.fine_amount_fen and not penalty.fine_paid:
        draft.advance("case", "decided")
        draft.outcome = "penalty"
    else:
        draft.finish("case", "decided", "penalty")
    draft.evidence_codes[fact.slot_key] = penalty.violation_code
    draft.count(fact, state_pb2.COUNTER_PENALTIES)
    draft.count(fact, state_pb2.COUNTER_PENALTIES_BY_VIOLATION, code=penalty.violation_code)
    if body.fine_amount_fen:
        draft.count(fact, state_pb2.COUNTER_FINES_FEN, body.fine_amount_fen)


def penalty_exempted(fact: Fact, body: events.PenaltyExempted, draft: Draft) -> None:
    """The violation is established but not punished (免予处罚)."""
    draft.finish("case", "exempted", coded(body.exemption_item) or "exempted")
    draft.evidence_codes[fact.slot_key] = coded(body.violation)
    draft.count(fact, state_pb2.COUNTER_EXEMPTIONS)


def fine_paid(fact: Fact, body: events.FinePaid, draft: Draft) -> None:
    """A fine was paid (缴纳罚款); the case is done when it was paid in full."""
    if body.is_paid_in_full:
        _penalty(fact, draft).fine_paid = True
        draft.finish("case", "fine_paid", draft.outcome)
    else:
        draft.advance("case", "fine_partly_paid")


def penalty_published(fact: Fact, body: events.PenaltyPublished, draft: Draft) -> None:
    """The decision is published (行政处罚信息公示)."""
    _penalty(fact, draft).published = True
    draft.kind = draft.kind or "case"


def penalty_publication_withdrawn(
    fact: Fact, body: events.PenaltyPublicationWithdrawn, draft: Draft
) -> None:
    """The publication was taken down (撤下公示)."""
    _penalty(fact, draft).published = False
    draft.kind = draft.kind or "case"
    if body.ground == events.PUBLICATION_WITHDRAWAL_GROUND_DECISION_CHANGED:
        draft.outcome = "decision_changed"


def case_transferred_to_police(
    fact: Fact, body: events.CaseTransferredToPolice, draft: Draft
) -> None:
    """The case went to the police (移送公安机关)."""
    draft.finish("case", "transferred_to_police", "transferred")


def credit_repair_applied(fact: Fact, body: events.CreditRepairApplied, draft: Draft) -> None:
    """The entity asked for credit repair (申请信用修复)."""
    _penalty(fact, draft).credit_repair = "applied"
    draft.kind = draft.kind or "case"


def credit_repair_granted(fact: Fact, body: events.CreditRepairGranted, draft: Draft) -> None:
    """Credit repair was granted (准予信用修复)."""
    if body.HasField("publication_stops_date"):
        day_of_date(body.publication_stops_date, "publication_stops_date")
    _penalty(fact, draft).credit_repair = "granted"
    draft.kind = draft.kind or "case"


def credit_repair_refused(fact: Fact, body: events.CreditRepairRefused, draft: Draft) -> None:
    """Credit repair was refused (不予信用修复)."""
    _penalty(fact, draft).credit_repair = "refused"
    draft.kind = draft.kind or "case"
