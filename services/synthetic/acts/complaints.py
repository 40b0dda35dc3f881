"""Acts of the complaint centre: complaints and reports, without any person (投诉举报行为)."""

from datetime import date
from enum import StrEnum

from google.protobuf.message import Message
from market_supervision.complaints.v1 import complaints_events_pb2 as pb

from services.contracts.families import FamilyEvent
from services.synthetic import codes
from services.synthetic.days import after, moment
from services.synthetic.entities import Entity
from services.synthetic.records import Records

FAMILY = "complaints"


class Handling(StrEnum):
    """How a complaint ends (投诉处理结果)."""

    AGREED = "agreed"
    TERMINATED = "terminated"
    REFUSED = "refused"
    PENDING = "pending"


def complain(
    records: Records,
    entity: Entity,
    day: date,
    topic: str,
    handling: Handling = Handling.AGREED,
    *,
    at: tuple[int, int] | None = None,
    arrives: date | None = None,
    is_prepaid: bool = False,
) -> FamilyEvent:
    """Receive a complaint and handle it; return the receipt's event.

    `at` is hour and minute, else some time by day; `arrives` a later day on which it is entered.
    """
    rng = entity.rng
    matter = records.matter(FAMILY, entity, "C")
    hour, minute = at or (rng.randint(9, 20), rng.randint(0, 59))
    amount = rng.randint(20, 3000) * 100
    received = records.state(
        entity,
        pb.ComplaintReceived(
            topic=codes.topic(topic),
            disputed_amount_fen=amount,
            submission_channel=rng.choice(
                (pb.SUBMISSION_CHANNEL_PLATFORM_12315, pb.SUBMISSION_CHANNEL_TELEPHONE)
            ),
            purchase_channel=pb.PURCHASE_CHANNEL_OFFLINE,
            remedies_requested=[pb.REMEDY_REFUND],
            consumer_group=pb.CONSUMER_GROUP_GENERAL,
            is_prepaid=is_prepaid,
        ),
        matter=matter,
        happened=moment(day, hour, minute),
        arrives=moment(arrives, 17) if arrives else None,
    )
    _handle(records, entity, matter, arrives or day, handling, amount)
    return received


def _handle(
    records: Records, entity: Entity, matter: str, day: date, handling: Handling, amount: int
) -> None:
    means = pb.TOLD_MEANS_TEXT_MESSAGE
    steps: dict[Handling, tuple[tuple[int, Message], ...]] = {
        Handling.PENDING: (),
        Handling.REFUSED: (
            (4, pb.ComplaintRefused(ground=pb.REFUSAL_GROUND_NOT_CONSUMER_DISPUTE)),
            (5, pb.PartiesTold(subject=pb.TOLD_SUBJECT_REFUSAL, means=means)),
        ),
        Handling.AGREED: (
            (3, pb.ComplaintAccepted(mediating_unit=entity.town_code)),
            (
                16,
                pb.MediationAgreed(
                    agreed_amount_fen=amount // 2,
                    remedies_agreed=[pb.REMEDY_REFUND],
                    mode=pb.MEDIATION_MODE_TELEPHONE,
                ),
            ),
        ),
        Handling.TERMINATED: (
            (3, pb.ComplaintAccepted(mediating_unit=entity.town_code)),
            (
                30,
                pb.MediationTerminated(
                    ground=pb.TERMINATION_GROUND_PARTY_REFUSED, mode=pb.MEDIATION_MODE_ON_SITE
                ),
            ),
            (33, pb.PartiesTold(subject=pb.TOLD_SUBJECT_TERMINATION, means=means)),
        ),
    }
    for days, body in steps[handling]:
        records.state(entity, body, matter=matter, happened=moment(after(day, days), 15, 10))


def report(
    records: Records,
    entity: Entity,
    day: date,
    topic: str,
    *,
    violation: str,
    case_matter: str = "",
) -> str:
    """Receive a report of an unlawful act, decide on it, tell the informant; return the matter.

    A case is filed when `case_matter` names one.
    """
    matter = records.matter(FAMILY, entity, "J")
    is_real_name = entity.rng.random() < 0.5
    decision = pb.FILING_DECISION_FILED if case_matter else pb.FILING_DECISION_NOT_FILED
    steps: list[tuple[int, Message]] = [
        (
            0,
            pb.ReportReceived(
                topic=codes.topic(topic),
                suspected_violation=codes.violation(violation),
                submission_channel=pb.SUBMISSION_CHANNEL_PLATFORM_12315,
                is_real_name=is_real_name,
            ),
        ),
        (12, pb.ReportFilingDecided(decision=decision, case_matter_id=case_matter)),
    ]
    if is_real_name:
        steps.append((15, pb.InformantTold(means=pb.TOLD_MEANS_PLATFORM)))
    for days, body in steps:
        happened = moment(after(day, days), 11, 20)
        records.state(entity, body, matter=matter, happened=happened)
    return matter
