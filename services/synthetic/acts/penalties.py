"""Acts of the casework office: clues, cases, penalties, credit repair (行政处罚行为)."""

from collections.abc import Sequence
from datetime import date

from google.protobuf.message import Message
from market_supervision.penalties.v1 import penalties_events_pb2 as pb

from services.contracts.families import FamilyEvent
from services.synthetic import codes
from services.synthetic.days import after, moment, wire_date
from services.synthetic.entities import Entity
from services.synthetic.records import Records

FAMILY = "penalties"
HEARING_FINE_YUAN = 100_000
"""Fine from which the city's stories offer a hearing."""


def open_case(records: Records, entity: Entity) -> str:
    """Return the matter of a new case file."""
    return records.matter(FAMILY, entity, "K")


def decided_body(
    entity: Entity, decided: date, violation: str, fine_yuan: int, case: str
) -> pb.PenaltyDecided:
    """Return the fact that a fine, or for 0 yuan a warning, was decided."""
    body = pb.PenaltyDecided(
        decision_number=codes.document_number("处罚", decided, case),
        kinds=[pb.PENALTY_KIND_FINE if fine_yuan else pb.PENALTY_KIND_WARNING],
        violation=codes.violation(violation),
        discretion_band=pb.DISCRETION_BAND_ORDINARY,
        discretion_benchmark=f"虚构-{entity.trade.industry_code}",
        legal_articles=["《中华人民共和国行政处罚法》第九条"],
        procedure=pb.CASE_PROCEDURE_ORDINARY,
    )
    if fine_yuan:
        body.fine_amount_fen = fine_yuan * 100
    return body


def penalise(
    records: Records,
    entity: Entity,
    decided: date,
    violation: str,
    fine_yuan: int,
    *,
    case: str | None = None,
    origin: str = "",
    source: pb.ClueSource.ValueType = pb.CLUE_SOURCE_INSPECTION,
) -> FamilyEvent:
    """Run a case from clue to paid and published fine; return the decision's event.

    The clue is 70 days old at the decision. A high fine brings a hearing; 0 yuan is a warning,
    which is neither paid nor published.
    """
    case = case or open_case(records, entity)
    suspected = codes.violation(violation)
    fine = fine_yuan * 100
    hearing = fine_yuan >= HEARING_FINE_YUAN
    before: list[tuple[int, Message]] = [
        (
            -70,
            pb.ClueRegistered(
                clue_source=source, suspected_violation=suspected, origin_matter_id=origin
            ),
        ),
        (
            -58,
            pb.CaseFiled(
                case_number=codes.document_number("立", decided, case),
                procedure=pb.CASE_PROCEDURE_ORDINARY,
                suspected_violation=suspected,
                origin_matter_id=origin,
            ),
        ),
        (
            -25,
            pb.PenaltyNoticeServed(
                intended_kinds=[pb.PENALTY_KIND_FINE if fine else pb.PENALTY_KIND_WARNING],
                intended_fine_amount_fen=fine or None,
                is_hearing_offered=hearing,
            ),
        ),
    ]
    if hearing:
        before += [(-21, pb.HearingRequested()), (-10, pb.HearingHeld(is_public=True))]
    _tell(records, entity, case, decided, before)
    decision = records.state(
        entity,
        decided_body(entity, decided, violation, fine_yuan, case),
        matter=case,
        happened=moment(decided, 15),
    )
    if fine:
        published = pb.PenaltyPublished(
            decision_number=codes.document_number("处罚", decided, case),
            grade=pb.PUBLICATION_GRADE_MODERATE,
            shown_until_date=wire_date(after(decided, 365)),
        )
        paid = pb.FinePaid(paid_amount_fen=fine, is_paid_in_full=True)
        _tell(records, entity, case, decided, [(8, published), (13, paid)])
    return decision


def exempt(records: Records, entity: Entity, day: date, violation: str) -> None:
    """Exempt a first offence from a penalty."""
    case = open_case(records, entity)
    steps: list[tuple[int, Message]] = [
        (-9, pb.ClueRegistered(clue_source=pb.CLUE_SOURCE_INSPECTION)),
        (
            0,
            pb.PenaltyExempted(
                violation=codes.violation(violation),
                exemption_item=codes.exemption_item("FIRST_LABEL_DEFECT"),
                ground=pb.EXEMPTION_GROUND_FIRST_OFFENCE,
            ),
        ),
    ]
    _tell(records, entity, case, day, steps)


def drop_clue(records: Records, entity: Entity, day: date, violation: str, origin: str) -> None:
    """Register a clue and decide not to file a case on it."""
    case = open_case(records, entity)
    clue = pb.ClueRegistered(
        clue_source=pb.CLUE_SOURCE_COMPLAINT_OR_REPORT,
        suspected_violation=codes.violation(violation),
        origin_matter_id=origin,
    )
    dropped = pb.CaseNotFiled(
        ground=pb.NOT_FILED_GROUND_MINOR_AND_CORRECTED, violation=codes.violation(violation)
    )
    _tell(records, entity, case, day, [(0, clue), (10, dropped)])


def transfer_to_police(records: Records, entity: Entity, day: date, case: str) -> None:
    """Hand a case over as a suspected crime."""
    body = pb.CaseTransferredToPolice(
        receiving_unit="GA-442000", suspected_article="《中华人民共和国刑法》第一百四十条"
    )
    _tell(records, entity, case, day, [(0, body)])


def repair_credit(records: Records, entity: Entity, day: date, case: str, *, granted: bool) -> None:
    """Apply for credit repair; when granted, the publication ends as well."""
    steps: list[tuple[int, Message]] = [(0, pb.CreditRepairApplied())]
    if granted:
        steps += [
            (6, pb.CreditRepairGranted(publication_stops_date=wire_date(after(day, 8)))),
            (
                8,
                pb.PenaltyPublicationWithdrawn(
                    ground=pb.PUBLICATION_WITHDRAWAL_GROUND_CREDIT_REPAIRED
                ),
            ),
        ]
    else:
        ground = pb.CREDIT_REPAIR_REFUSAL_GROUND_TOO_EARLY
        steps.append((6, pb.CreditRepairRefused(ground=ground)))
    _tell(records, entity, case, day, steps)


def _tell(
    records: Records,
    entity: Entity,
    case: str,
    day: date,
    steps: Sequence[tuple[int, Message]],
) -> None:
    for days, body in steps:
        happened = moment(after(day, days), 14, 25)
        records.state(entity, body, matter=case, happened=happened)
