"""Which handler folds which event type: one explicit line each."""

from collections.abc import Callable
from typing import Any, NamedTuple

from services.contracts.families import FAMILY_BY_NAME
from services.lifecycle.folding import complaints, inspections, penalties, registration
from services.lifecycle.folding.facts import Draft, Fact

Handler = Callable[[Fact, Any, Draft], None]

FOLDS: dict[tuple[str, str], Handler] = {
    ("registration", "entity_linked"): registration.entity_linked,
    ("registration", "entity_established"): registration.entity_established,
    ("registration", "entity_changed"): registration.entity_changed,
    ("registration", "licence_granted"): registration.licence_granted,
    ("registration", "licence_renewed"): registration.licence_renewed,
    ("registration", "licence_expired"): registration.licence_expired,
    ("registration", "licence_revoked"): registration.licence_revoked,
    ("registration", "licence_cancelled"): registration.licence_cancelled,
    ("registration", "annual_report_filed"): registration.annual_report_filed,
    ("registration", "abnormal_operations_listed"): registration.abnormal_operations_listed,
    ("registration", "abnormal_operations_removed"): registration.abnormal_operations_removed,
    (
        "registration",
        "simple_deregistration_notice_published",
    ): registration.simple_deregistration_notice_published,
    ("registration", "simple_deregistration_objected"): registration.simple_deregistration_objected,
    (
        "registration",
        "simple_deregistration_notice_withdrawn",
    ): registration.simple_deregistration_notice_withdrawn,
    ("registration", "entity_deregistered"): registration.entity_deregistered,
    ("registration", "business_licence_revoked"): registration.business_licence_revoked,
    ("registration", "business_suspended"): registration.business_suspended,
    ("registration", "business_resumed"): registration.business_resumed,
    ("inspections", "inspection_planned"): inspections.inspection_planned,
    ("inspections", "inspection_completed"): inspections.inspection_completed,
    ("inspections", "sample_taken"): inspections.sample_taken,
    ("inspections", "sample_tested"): inspections.sample_tested,
    ("inspections", "rectification_ordered"): inspections.rectification_ordered,
    ("inspections", "rectification_reported"): inspections.rectification_reported,
    ("inspections", "rectification_verified"): inspections.rectification_verified,
    ("inspections", "adverse_reaction_reported"): inspections.adverse_reaction_reported,
    ("complaints", "complaint_received"): complaints.complaint_received,
    ("complaints", "complaint_accepted"): complaints.complaint_accepted,
    ("complaints", "complaint_refused"): complaints.complaint_refused,
    ("complaints", "mediation_agreed"): complaints.mediation_agreed,
    ("complaints", "mediation_terminated"): complaints.mediation_terminated,
    ("complaints", "parties_told"): complaints.parties_told,
    ("complaints", "report_received"): complaints.report_received,
    ("complaints", "report_filing_decided"): complaints.report_filing_decided,
    ("complaints", "informant_told"): complaints.informant_told,
    ("penalties", "clue_registered"): penalties.clue_registered,
    ("penalties", "case_filed"): penalties.case_filed,
    ("penalties", "case_not_filed"): penalties.case_not_filed,
    ("penalties", "penalty_notice_served"): penalties.penalty_notice_served,
    ("penalties", "hearing_requested"): penalties.hearing_requested,
    ("penalties", "hearing_held"): penalties.hearing_held,
    ("penalties", "penalty_decided"): penalties.penalty_decided,
    ("penalties", "penalty_exempted"): penalties.penalty_exempted,
    ("penalties", "fine_paid"): penalties.fine_paid,
    ("penalties", "penalty_published"): penalties.penalty_published,
    ("penalties", "penalty_publication_withdrawn"): penalties.penalty_publication_withdrawn,
    ("penalties", "case_transferred_to_police"): penalties.case_transferred_to_police,
    ("penalties", "credit_repair_applied"): penalties.credit_repair_applied,
    ("penalties", "credit_repair_granted"): penalties.credit_repair_granted,
    ("penalties", "credit_repair_refused"): penalties.credit_repair_refused,
}

SLOT_FIELDS: dict[str, str] = {
    "registration": "registration",
    "inspections": "inspection",
    "complaints": "complaint",
    "penalties": "penalty",
}
"""Family → the field of a Slot that holds its event."""


class Route(NamedTuple):
    """What becomes of a fact of one event type, looked up once for all."""

    family: str
    event_type: str
    """`<family>.<arm>`."""
    number: int
    """Field number of the arm: breaks ties between facts of one moment."""
    fold: Handler


ROUTES: dict[str, dict[str, Route]] = {field: {} for field in SLOT_FIELDS.values()}
"""Field of a Slot that holds the event → arm of its body → route."""

for (_family, _arm), _handler in FOLDS.items():
    _number = FAMILY_BY_NAME[_family].message_class.DESCRIPTOR.fields_by_name[_arm].number
    ROUTES[SLOT_FIELDS[_family]][_arm] = Route(_family, f"{_family}.{_arm}", _number, _handler)
