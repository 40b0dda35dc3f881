"""Supervision and inspection (监督检查): what each event type makes of its matter. Pure."""

from collections.abc import Iterable

from market_supervision.inspections.v1 import inspections_events_pb2 as events
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.folding.facts import Draft, Fact, day_of_date, enum_word

_RESULT_COUNTERS: dict[int, state_pb2.Counter.ValueType] = {
    events.INSPECTION_RESULT_PASS: state_pb2.COUNTER_INSPECTIONS_PASSED,
    events.INSPECTION_RESULT_CONDITIONAL: state_pb2.COUNTER_INSPECTIONS_CONDITIONAL,
    events.INSPECTION_RESULT_FAIL: state_pb2.COUNTER_INSPECTIONS_FAILED,
}


def _worst(findings: Iterable[events.Finding]) -> str:
    worst = max((finding.severity for finding in findings), default=0)
    return enum_word(events.FindingSeverity, worst, "FINDING_SEVERITY_")


def _place(value: int) -> str:
    return enum_word(events.PlaceType, value, "PLACE_TYPE_")


def _count_critical(fact: Fact, findings: Iterable[events.Finding], draft: Draft) -> None:
    critical = sum(f.severity == events.FINDING_SEVERITY_CRITICAL for f in findings)
    if critical:
        draft.count(fact, state_pb2.COUNTER_CRITICAL_FINDINGS, critical)


def inspection_planned(fact: Fact, body: events.InspectionPlanned, draft: Draft) -> None:
    """An inspection is planned for a day (检查计划)."""
    due = day_of_date(body.planned_date, "planned_date") if body.HasField("planned_date") else 0
    draft.begin("inspection", "planned", due_day=due)


def inspection_completed(fact: Fact, body: events.InspectionCompleted, draft: Draft) -> None:
    """An inspection was carried out (检查完成). A result not recorded stays not recorded."""
    result = enum_word(events.InspectionResult, body.result, "INSPECTION_RESULT_")
    draft.finish("inspection", "completed", result)
    draft.inspections.append(
        state_pb2.InspectionDigest(
            matter_id=fact.matter_id,
            kind="inspection",
            event_time_ms=fact.event_time_ms,
            day=fact.day,
            result=result,
            findings=len(body.findings),
            worst_severity=_worst(body.findings),
            place_type=_place(body.place_type),
            slot_key=fact.slot_key,
        )
    )
    draft.count(fact, state_pb2.COUNTER_INSPECTIONS)
    if body.result in _RESULT_COUNTERS:
        draft.count(fact, _RESULT_COUNTERS[body.result])
    _count_critical(fact, body.findings, draft)
    if _was_operating(body):
        draft.count(fact, state_pb2.COUNTER_ACTIVITY)


def _was_operating(body: events.InspectionCompleted) -> bool:
    """Whether the visit shows that business was done: seen so, or a result was found at all."""
    if body.operating_observation == events.OPERATING_OBSERVATION_UNSPECIFIED:
        return body.result != events.INSPECTION_RESULT_UNSPECIFIED
    return body.operating_observation == events.OPERATING_OBSERVATION_OPERATING


def sample_taken(fact: Fact, body: events.SampleTaken, draft: Draft) -> None:
    """A sample was taken (抽样): evidence that the entity sells."""
    draft.begin("sample", "taken")
    draft.count(fact, state_pb2.COUNTER_ACTIVITY)


def sample_tested(fact: Fact, body: events.SampleTested, draft: Draft) -> None:
    """A sample was tested (检验). An inconclusive test counts in no ratio."""
    conclusion = enum_word(events.TestConclusion, body.conclusion, "TEST_CONCLUSION_")
    draft.finish("sample", "tested", conclusion)
    result = "" if body.conclusion == events.TEST_CONCLUSION_INCONCLUSIVE else conclusion
    draft.inspections.append(
        state_pb2.InspectionDigest(
            matter_id=fact.matter_id,
            kind="sample",
            event_time_ms=fact.event_time_ms,
            day=fact.day,
            result=result,
            findings=len(body.failed_items),
            worst_severity=_worst(body.failed_items),
            place_type=_place(body.sample.place_type),
            slot_key=fact.slot_key,
        )
    )
    if result:
        draft.count(fact, state_pb2.COUNTER_SAMPLES_TESTED)
    if body.conclusion == events.TEST_CONCLUSION_FAIL:
        draft.count(fact, state_pb2.COUNTER_SAMPLES_FAILED)


def rectification_ordered(fact: Fact, body: events.RectificationOrdered, draft: Draft) -> None:
    """The entity has to put something right by a day (责令改正)."""
    due = day_of_date(body.due_date, "due_date") if body.HasField("due_date") else 0
    draft.begin("rectification", "ordered", due_day=due)


def rectification_reported(fact: Fact, body: events.RectificationReported, draft: Draft) -> None:
    """The entity says it has put it right (整改报告); to be verified."""
    stage = "reported" if body.is_complete else "partly_reported"
    draft.advance("rectification", stage, due_day=draft.due_day)


def rectification_verified(fact: Fact, body: events.RectificationVerified, draft: Draft) -> None:
    """The authority looked again (整改复查); closed only when everything is put right."""
    result = enum_word(events.VerificationResult, body.result, "VERIFICATION_RESULT_")
    if body.result == events.VERIFICATION_RESULT_RECTIFIED:
        draft.finish("rectification", "verified", result)
        return
    due = day_of_date(body.new_due_date, "new_due_date") if body.HasField("new_due_date") else 0
    draft.advance("rectification", "not_rectified", due_day=due)
    draft.outcome = result


def adverse_reaction_reported(
    fact: Fact, body: events.AdverseReactionReported, draft: Draft
) -> None:
    """An adverse reaction to a drug, device or cosmetic was reported (不良反应报告)."""
    kind = enum_word(events.AdverseReactionKind, body.kind, "ADVERSE_REACTION_KIND_")
    severity = enum_word(
        events.AdverseReactionSeverity, body.severity, "ADVERSE_REACTION_SEVERITY_"
    )
    draft.begin("adverse_reaction", "reported")
    draft.outcome = f"{kind}:{severity}"
    draft.count(fact, state_pb2.COUNTER_ADVERSE_REACTIONS)
    if body.severity >= events.ADVERSE_REACTION_SEVERITY_SERIOUS:
        draft.count(fact, state_pb2.COUNTER_ADVERSE_REACTIONS_SERIOUS)
