"""Which stage each event type moves its matter to: one line an event type. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from integration_tests.judge.reference.facts import Fact, coded, optional_day, word


@dataclass(frozen=True, slots=True)
class Step:
    """What one fact says about the course of its matter; None leaves a field as it was."""

    kind: str
    stage: str | None = None
    open: bool | None = None
    outcome: str | None = None
    due_day: int | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """Where a matter stands after all its facts."""

    kind: str = ""
    stage: str = ""
    open: bool = False
    outcome: str = ""
    due_day: int = 0


Say = Callable[[Any], Step]


def _going(kind: str, stage: str, due_field: str = "") -> Say:
    """Open at a stage, due on a day where the body names one."""
    return lambda body: Step(
        kind, stage, open=True, due_day=optional_day(body, due_field) if due_field else 0
    )


def _done(kind: str, stage: str, outcome: Callable[[Any], str | None] = lambda _body: "") -> Say:
    """Closed at a stage with an outcome; None keeps the outcome there was."""
    return lambda body: Step(kind, stage, open=False, outcome=outcome(body), due_day=0)


def _field(name: str) -> Callable[[Any], str]:
    return lambda body: word(body, name)


def _kept(_body: Any) -> None:
    """The outcome stays as it was."""


def _told(body: Any) -> Step:
    subject = word(body, "subject")
    stays_open = subject == "acceptance"
    return Step("complaint", f"parties_told_{subject}", open=stays_open, due_day=0)


def _verified(body: Any) -> Step:
    result = word(body, "result")
    if result == "rectified":
        return Step("rectification", "verified", open=False, outcome=result, due_day=0)
    due = optional_day(body, "new_due_date")
    return Step("rectification", "not_rectified", open=True, outcome=result, due_day=due)


def _reaction(body: Any) -> Step:
    outcome = f"{word(body, 'kind')}:{word(body, 'severity')}"
    return Step("adverse_reaction", "reported", open=True, outcome=outcome, due_day=0)


def _paid(body: Any) -> Step:
    if body.is_paid_in_full:
        return Step("case", "fine_paid", open=False, due_day=0)
    return Step("case", "fine_partly_paid", open=True, due_day=0)


def _unpublished(body: Any) -> Step:
    changed = word(body, "ground") == "decision_changed"
    return Step("case", outcome="decision_changed" if changed else None)


def _rectification_reported(body: Any) -> Step:
    return Step("rectification", "reported" if body.is_complete else "partly_reported", open=True)


def _withdrawn_by(body: Any) -> str:
    return "withdrawn_by_entity" if body.is_withdrawn_by_entity else "withdrawn_by_authority"


def _exempted(body: Any) -> str:
    return coded(body.exemption_item) or "exempted"


def _ended(kind: str, stage: str, outcome: str) -> Say:
    return lambda _body: Step(kind, stage, open=True, outcome=outcome, due_day=0)


def _with_word(kind: str, stage: str, field: str) -> Say:
    return lambda body: Step(kind, stage, open=True, outcome=word(body, field), due_day=0)


def _report(body: Any) -> Step:
    stage = "received_real_name" if body.is_real_name else "received"
    return Step("report", stage, open=True, due_day=0)


def _only_kind(_body: Any) -> Step:
    return Step("case")


STEPS: Mapping[str, Say] = MappingProxyType(
    {
        "entity_linked": _done("registration", "linked"),
        "entity_established": _done("registration", "established"),
        "entity_changed": _done("registration", "changed"),
        "licence_granted": _done("licence", "granted"),
        "licence_renewed": _done("licence", "renewed"),
        "licence_expired": _done("licence", "expired"),
        "licence_revoked": _done("licence", "revoked"),
        "licence_cancelled": _done("licence", "cancelled"),
        "annual_report_filed": _done("registration", "annual_report_filed"),
        "abnormal_operations_listed": _going("listing", "listed"),
        "abnormal_operations_removed": _done("listing", "removed", _field("ground")),
        "simple_deregistration_notice_published": _going(
            "exit", "notice_published", "notice_until_date"
        ),
        "simple_deregistration_objected": _done("exit", "objected", _field("ground")),
        "simple_deregistration_notice_withdrawn": _done("exit", "notice_withdrawn", _withdrawn_by),
        "entity_deregistered": _done("exit", "deregistered", _field("procedure")),
        "business_licence_revoked": _done("exit", "business_licence_revoked", _field("ground")),
        "business_suspended": _going("suspension", "suspended", "planned_until_date"),
        "business_resumed": _done("suspension", "resumed", _field("ground")),
        "inspection_planned": _going("inspection", "planned", "planned_date"),
        "inspection_completed": _done("inspection", "completed", _field("result")),
        "sample_taken": _going("sample", "taken"),
        "sample_tested": _done("sample", "tested", _field("conclusion")),
        "rectification_ordered": _going("rectification", "ordered", "due_date"),
        "rectification_reported": _rectification_reported,
        "rectification_verified": _verified,
        "adverse_reaction_reported": _reaction,
        "complaint_received": _going("complaint", "received"),
        "complaint_accepted": _going("complaint", "accepted"),
        "complaint_refused": _done("complaint", "refused", _field("ground")),
        "mediation_agreed": _done("complaint", "mediation_agreed", lambda _body: "agreed"),
        "mediation_terminated": _with_word("complaint", "mediation_terminated", "ground"),
        "parties_told": _told,
        "report_received": _report,
        "report_filing_decided": _with_word("report", "filing_decided", "decision"),
        "informant_told": _done("report", "informant_told", _kept),
        "clue_registered": _going("case", "clue_registered"),
        "case_filed": _going("case", "filed"),
        "case_not_filed": _done("case", "not_filed", _field("ground")),
        "penalty_notice_served": _going("case", "notice_served"),
        "hearing_requested": _going("case", "hearing_requested"),
        "hearing_held": _going("case", "hearing_held"),
        "penalty_decided": _ended("case", "decided", "penalty"),
        "penalty_exempted": _done("case", "exempted", _exempted),
        "fine_paid": _paid,
        "penalty_published": _only_kind,
        "penalty_publication_withdrawn": _unpublished,
        "case_transferred_to_police": _done(
            "case", "transferred_to_police", lambda _body: "transferred"
        ),
        "credit_repair_applied": _only_kind,
        "credit_repair_granted": _only_kind,
        "credit_repair_refused": _only_kind,
    }
)
"""Event type → what it says of its matter; a decided penalty is open until its fine is paid."""


def course_of(facts: Sequence[Fact]) -> Course:
    """Return where a matter stands: of each field what was said last, of the kind what first."""
    steps = [(fact, STEPS[fact.arm](fact.body)) for fact in facts]
    course: dict[str, Any] = {"kind": steps[0][1].kind if steps else ""}
    for index, (fact, step) in enumerate(steps):
        for name in ("stage", "open", "outcome", "due_day"):
            if (said := getattr(step, name)) is not None:
                course[name] = said
        if fact.arm == "penalty_decided":
            earlier = [held for held, _step in steps[:index] if held.arm == "fine_paid"]
            paid = any(held.body.is_paid_in_full for held in earlier)
            course["open"] = bool(fact.body.fine_amount_fen) and not paid
    return Course(**course)
