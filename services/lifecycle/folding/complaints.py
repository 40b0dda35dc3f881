"""Complaints and reports (投诉举报): what each event type makes of its matter. Pure.

A complaint (投诉, a dispute to be mediated) and a report (举报, a clue to be verified) are
different matters even when both stand on one paper.
"""

from market_supervision.complaints.v1 import complaints_events_pb2 as events
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.facts import Draft, Fact, coded, enum_word


def complaint_received(fact: Fact, body: events.ComplaintReceived, draft: Draft) -> None:
    """A complaint came in (收到投诉)."""
    draft.begin("complaint", "received")
    draft.evidence_codes[fact.slot_key] = coded(body.topic)
    draft.count(fact, state_pb2.COUNTER_COMPLAINTS)


def complaint_accepted(fact: Fact, body: events.ComplaintAccepted, draft: Draft) -> None:
    """The complaint was accepted; mediation runs (受理)."""
    draft.advance("complaint", "accepted")


def complaint_refused(fact: Fact, body: events.ComplaintRefused, draft: Draft) -> None:
    """The complaint was refused on one of six grounds (不予受理)."""
    ground = enum_word(events.RefusalGround, body.ground, "REFUSAL_GROUND_")
    draft.finish("complaint", "refused", ground)


def mediation_agreed(fact: Fact, body: events.MediationAgreed, draft: Draft) -> None:
    """The parties agreed (调解达成)."""
    draft.finish("complaint", "mediation_agreed", "agreed")


def mediation_terminated(fact: Fact, body: events.MediationTerminated, draft: Draft) -> None:
    """Mediation ended on one of seven grounds (终止调解); the parties are still to be told."""
    draft.advance("complaint", "mediation_terminated")
    draft.outcome = enum_word(events.TerminationGround, body.ground, "TERMINATION_GROUND_")


def parties_told(fact: Fact, body: events.PartiesTold, draft: Draft) -> None:
    """The parties were told (告知); of an acceptance the complaint stays open."""
    subject = enum_word(events.ToldSubject, body.subject, "TOLD_SUBJECT_")
    stage = f"parties_told_{subject}"
    if body.subject == events.TOLD_SUBJECT_ACCEPTANCE:
        draft.advance("complaint", stage)
    else:
        draft.finish("complaint", stage, draft.outcome)


def report_received(fact: Fact, body: events.ReportReceived, draft: Draft) -> None:
    """A report came in (收到举报)."""
    draft.begin("report", "received_real_name" if body.is_real_name else "received")
    draft.evidence_codes[fact.slot_key] = coded(body.topic)
    draft.count(fact, state_pb2.COUNTER_REPORTS)


def report_filing_decided(fact: Fact, body: events.ReportFilingDecided, draft: Draft) -> None:
    """Whether a case is filed was decided (决定是否立案); the informant is still to be told."""
    draft.advance("report", "filing_decided")
    draft.outcome = enum_word(events.FilingDecision, body.decision, "FILING_DECISION_")


def informant_told(fact: Fact, body: events.InformantTold, draft: Draft) -> None:
    """The informant was told (告知举报人)."""
    draft.finish("report", "informant_told", draft.outcome)
