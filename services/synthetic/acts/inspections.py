"""Acts of inspectors: visits, samples, rectifications, adverse reactions (监督检查行为)."""

from collections.abc import Sequence
from datetime import date

from google.protobuf.message import Message
from market_supervision.inspections.v1 import inspections_events_pb2 as pb

from services.contracts.families import FamilyEvent
from services.synthetic import codes
from services.synthetic.days import after, moment, wire_date
from services.synthetic.entities import Entity
from services.synthetic.records import Records

FAMILY = "inspections"


def finding(
    code: str, severity: pb.FindingSeverity.ValueType = pb.FINDING_SEVERITY_SERIOUS
) -> pb.Finding:
    """Return one thing found wrong."""
    return pb.Finding(code=codes.finding_code(code), severity=severity)


def visit_body(
    entity: Entity,
    result: pb.InspectionResult.ValueType,
    kind: pb.InspectionKind.ValueType = pb.INSPECTION_KIND_ROUTINE,
    findings: Sequence[pb.Finding] = (),
) -> pb.InspectionCompleted:
    """Return the fact of a visit; without a result nobody was met."""
    recorded = result != pb.INSPECTION_RESULT_UNSPECIFIED
    operating = pb.OPERATING_OBSERVATION_OPERATING
    closed = pb.OPERATING_OBSERVATION_NOT_OPERATING
    needed = [codes.licence_type(entity.trade.licence_type)] if entity.trade.licence_type else []
    return pb.InspectionCompleted(
        kind=kind,
        result=result,
        result_basis=pb.RESULT_BASIS_RECORDED if recorded else pb.RESULT_BASIS_UNSPECIFIED,
        findings=findings,
        place_type=entity.trade.place_type,
        operating_observation=operating if recorded else closed,
        required_licence_types=needed if recorded else [],
    )


def visit(
    records: Records,
    entity: Entity,
    day: date,
    result: pb.InspectionResult.ValueType,
    kind: pb.InspectionKind.ValueType = pb.INSPECTION_KIND_ROUTINE,
    findings: Sequence[pb.Finding] = (),
    *,
    planned: date | None = None,
    arrives: date | None = None,
) -> FamilyEvent:
    """Inspect the entity; `planned` is the day on which the visit was put on the plan."""
    matter = records.matter(FAMILY, entity, "I")
    if planned:
        plan = pb.InspectionPlanned(planned_date=wire_date(day), kind=kind)
        records.state(entity, plan, matter=matter, happened=moment(planned, 8, 45))
    return records.state(
        entity,
        visit_body(entity, result, kind, findings),
        matter=matter,
        happened=moment(day, entity.rng.randint(9, 16), 30),
        arrives=moment(arrives, 18) if arrives else None,
    )


def rectify(
    records: Records,
    entity: Entity,
    day: date,
    findings: Sequence[pb.Finding],
    result: pb.VerificationResult.ValueType = pb.VERIFICATION_RESULT_RECTIFIED,
    origin: str = "",
) -> None:
    """Order a rectification within 15 days; the entity reports, the authority verifies."""
    matter = records.matter(FAMILY, entity, "G")
    order_number = codes.document_number("责改", day, matter)
    steps: tuple[tuple[int, Message], ...] = (
        (
            0,
            pb.RectificationOrdered(
                order_number=order_number,
                due_date=wire_date(after(day, 15)),
                findings=findings,
                origin_matter_id=origin,
            ),
        ),
        (11, pb.RectificationReported(order_number=order_number, is_complete=True)),
        (17, pb.RectificationVerified(result=result)),
    )
    for days, body in steps:
        records.state(entity, body, matter=matter, happened=moment(after(day, days), 17, 15))


def sample(
    records: Records,
    entity: Entity,
    day: date,
    conclusion: pb.TestConclusion.ValueType,
    category: str,
    kind: pb.SampleKind.ValueType = pb.SAMPLE_KIND_FOOD,
    channel: pb.SampleChannel.ValueType = pb.SAMPLE_CHANNEL_ON_SITE,
    *,
    tested_after: int = 9,
) -> str:
    """Take a sample and test it `tested_after` days later; return the matter."""
    matter = records.matter(FAMILY, entity, "P")
    description = pb.SampleDescription(
        kind=kind,
        sample_number=matter.rpartition("/")[2],
        product_category=codes.product(category),
        batch_number=f"{day:%Y%m%d}",
        channel=channel,
        place_type=entity.trade.place_type,
    )
    tested = after(day, tested_after)
    failed = conclusion == pb.TEST_CONCLUSION_FAIL
    steps: tuple[tuple[date, Message], ...] = (
        (day, pb.SampleTaken(sample=description)),
        (
            tested,
            pb.SampleTested(
                sample=description,
                conclusion=conclusion,
                method=pb.TEST_METHOD_LABORATORY,
                failed_items=[finding("MICROBIOLOGY")] if failed else [],
                report_date=wire_date(tested),
            ),
        ),
    )
    for on, body in steps:
        records.state(entity, body, matter=matter, happened=moment(on, 10, 40))
    return matter


def report_adverse_reaction(
    records: Records,
    entity: Entity,
    day: date,
    kind: pb.AdverseReactionKind.ValueType,
    severity: pb.AdverseReactionSeverity.ValueType = pb.ADVERSE_REACTION_SEVERITY_GENERAL,
) -> None:
    """Report an adverse reaction to something the entity sold."""
    body = pb.AdverseReactionReported(
        kind=kind,
        severity=severity,
        entity_role=pb.ADVERSE_REACTION_ENTITY_ROLE_SELLER,
        approval_number=f"虚构准字{entity.number:06d}",
        batch_number=f"{day:%Y%m}",
        noticed_date=wire_date(after(day, -2)),
    )
    matter = records.matter(FAMILY, entity, "A")
    records.state(entity, body, matter=matter, happened=moment(day, 16, 5))
