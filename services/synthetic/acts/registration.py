"""Acts of the registration and licensing authority (登记许可行为)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from market_supervision.common.v1.envelope_pb2 import EntityKey
from market_supervision.registration.v1 import registration_events_pb2 as pb

from services.contracts.families import FamilyEvent
from services.synthetic import codes
from services.synthetic.days import after, moment, wire_date
from services.synthetic.entities import Entity
from services.synthetic.records import Records

FAMILY = "registration"


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence of an entity and its file (许可档案)."""

    entity: Entity
    matter: str
    type_code: str
    number: str
    granted: date
    last_day: date
    grant: FamilyEvent

    @property
    def reference(self) -> pb.LicenceReference:
        """How records name it."""
        return pb.LicenceReference(
            licence_type=codes.licence_type(self.type_code), licence_number=self.number
        )


def establish(records: Records, entity: Entity, day: date) -> None:
    """Enter the entity in the register."""
    body = pb.EntityEstablished(
        name=entity.name,
        entity_type=entity.trade.entity_type,
        address=pb.RegisteredAddress(
            division=codes.division(entity.town_code), text=entity.address
        ),
        legal_representative_key=entity.person,
        business_scope=entity.trade.scope,
        registered_capital_amount_fen=entity.rng.choice((3, 10, 50, 100)) * 1_000_000,
        industry=codes.industry(entity.trade.industry_code),
        registration_authority=codes.CITY_CODE,
        term_from_date=wire_date(day),
        investor_origin=pb.INVESTOR_ORIGIN_MAINLAND,
        application_channel=pb.APPLICATION_CHANNEL_ONLINE,
    )
    matter = records.matter(FAMILY, entity, "S")
    records.state(entity, body, matter=matter, happened=moment(day, 9))


def change(records: Records, entity: Entity, day: date, body: pb.EntityChanged) -> None:
    """Register changed particulars."""
    matter = records.matter(FAMILY, entity, "B")
    records.state(entity, body, matter=matter, happened=moment(day, 11))


def grant(
    records: Records,
    entity: Entity,
    day: date,
    last_day: date,
    *,
    arrives: date | None = None,
) -> Licence:
    """Grant the licence that the entity's trade needs, valid to the end of `last_day`."""
    type_code = entity.trade.licence_type
    matter = records.matter(FAMILY, entity, "X")
    number = f"XK-{matter.rpartition('/')[2]}"
    event = records.state(
        entity,
        grant_body(type_code, number, day, last_day),
        matter=matter,
        happened=moment(day, 15),
        arrives=moment(arrives, 16) if arrives else None,
    )
    return Licence(entity, matter, type_code, number, day, last_day, event)


def grant_body(type_code: str, number: str, day: date, last_day: date) -> pb.LicenceGranted:
    """Return the fact that a licence was granted."""
    return pb.LicenceGranted(
        licence=pb.LicenceReference(
            licence_type=codes.licence_type(type_code), licence_number=number
        ),
        valid_from_date=wire_date(day),
        valid_until_date=wire_date(last_day),
        approval_mode=pb.APPROVAL_MODE_FULL_REVIEW,
        licensing_authority=codes.CITY_CODE,
    )


def renew(records: Records, licence: Licence, day: date, last_day: date) -> None:
    """Extend a licence to the end of `last_day`."""
    body = pb.LicenceRenewed(
        licence=licence.reference,
        valid_from_date=wire_date(after(licence.last_day, 1)),
        valid_until_date=wire_date(last_day),
    )
    records.state(licence.entity, body, matter=licence.matter, happened=moment(day, 14))


def record_lapse(records: Records, licence: Licence, day: date) -> None:
    """Note in the register that a licence ran out."""
    body = pb.LicenceExpired(licence=licence.reference, last_valid_date=wire_date(licence.last_day))
    records.state(licence.entity, body, matter=licence.matter, happened=moment(day, 8, 30))


def revoke(records: Records, licence: Licence, day: date) -> None:
    """Revoke a licence as a sanction."""
    body = pb.LicenceRevoked(
        licence=licence.reference,
        ground=pb.LICENCE_REVOCATION_GROUND_FALSE_COMMITMENT,
        decision_number=codes.document_number("许撤", day, licence.matter),
    )
    records.state(licence.entity, body, matter=licence.matter, happened=moment(day, 16))


def cancel(
    records: Records, licence: Licence, day: date, ground: pb.LicenceCancellationGround.ValueType
) -> None:
    """Cancel a licence without sanction."""
    body = pb.LicenceCancelled(licence=licence.reference, ground=ground)
    records.state(licence.entity, body, matter=licence.matter, happened=moment(day, 16, 30))


def file_annual_report(records: Records, entity: Entity, day: date) -> None:
    """File the report on the year before `day`; after 30 June it is late."""
    body = pb.AnnualReportFiled(report_year=day.year - 1, is_late=(day.month, day.day) > (6, 30))
    matter = records.matter(FAMILY, entity, "N")
    records.state(entity, body, matter=matter, happened=moment(day, 20))


def list_abnormal(
    records: Records, entity: Entity, day: date, reason: pb.AbnormalListingReason.ValueType
) -> Callable[[date], None]:
    """Put the entity on the abnormal-operations list; call the answer with a day to remove it."""
    matter = records.matter(FAMILY, entity, "Y")
    missing = reason == pb.ABNORMAL_LISTING_REASON_ANNUAL_REPORT_MISSING
    body = pb.AbnormalOperationsListed(
        reason=reason,
        decision_number=codes.document_number("列异", day, matter),
        report_year=day.year - 1 if missing else 0,
    )
    records.state(entity, body, matter=matter, happened=moment(day, 9, 30))

    def remove(on: date) -> None:
        removal = pb.AbnormalOperationsRemoved(
            ground=pb.ABNORMAL_REMOVAL_GROUND_OBLIGATION_FULFILLED,
            decision_number=codes.document_number("移异", on, matter),
        )
        records.state(entity, removal, matter=matter, happened=moment(on, 9, 30))

    return remove


def publish_exit_notice(records: Records, entity: Entity, day: date) -> str:
    """Publish 20 days of notice of a simple deregistration; return the matter."""
    body = pb.SimpleDeregistrationNoticePublished(
        notice_from_date=wire_date(day), notice_until_date=wire_date(after(day, 19))
    )
    matter = records.matter(FAMILY, entity, "Z")
    records.state(entity, body, matter=matter, happened=moment(day, 9))
    return matter


def deregister(
    records: Records,
    entity: Entity,
    day: date,
    procedure: pb.DeregistrationProcedure.ValueType,
    matter: str | None = None,
) -> None:
    """Strike the entity off the register."""
    records.state(
        entity,
        pb.EntityDeregistered(procedure=procedure),
        matter=matter or records.matter(FAMILY, entity, "Z"),
        happened=moment(day, 10),
    )


def link(
    records: Records,
    entity: Entity,
    given_up: EntityKey,
    day: date,
    reason: pb.EntityLinkReason.ValueType,
) -> None:
    """Say that the entity's own key now stands for `given_up`."""
    body = pb.EntityLinked(to=entity.key, reason=reason)
    matter = records.matter(FAMILY, entity, "L")
    stranger = entity.known_as(given_up)
    records.state(stranger, body, matter=matter, happened=moment(day, 9, 5))
