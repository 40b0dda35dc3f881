"""Those without a code: the unregistered and the old numbers (无统一社会信用代码者)."""

from datetime import date

from market_supervision.common.v1.envelope_pb2 import EntityKey
from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.penalties.v1 import penalties_events_pb2 as penalty
from market_supervision.registration.v1 import registration_events_pb2 as registry

from services.synthetic import entities, identity
from services.synthetic.acts import complaints, inspections, penalties, registration
from services.synthetic.chronicle import LICENCE_TERM_DAYS, Chronicle
from services.synthetic.days import after


def _stranger_key(matter: str) -> EntityKey:
    """Return the key of somebody known only by the matter in which he was met."""
    return EntityKey(scheme="unresolved", value=matter)


def never_registered(city: Chronicle, climax: date) -> None:
    """A stall without any licence is reported, inspected and fined; nobody learns its key."""
    stall = city.invent(entities.SNACK_BAR)
    case = penalties.open_case(city.records, stall)
    met = stall.known_as(_stranger_key(case))
    reported = after(climax, -85)
    complaints.report(
        city.records,
        met,
        reported,
        "LICENCE",
        violation="UNLICENSED_OPERATION",
        case_matter=case,
    )
    inspections.visit(
        city.records,
        met,
        after(reported, 5),
        inspection.INSPECTION_RESULT_FAIL,
        inspection.INSPECTION_KIND_COMPLAINT,
        [inspections.finding("LICENCE_INVALID")],
    )
    penalties.penalise(
        city.records,
        met,
        climax,
        "UNLICENSED_OPERATION",
        2_000,
        case=case,
        source=penalty.CLUE_SOURCE_COMPLAINT_OR_REPORT,
    )


def registers_after_all(city: Chronicle, climax: date) -> None:
    """A stall known only from an inspection registers; its old key is linked to its code."""
    stall = city.invent(entities.SNACK_BAR)
    key = _stranger_key(f"synthetic-inspection/I{stall.number:06d}-stall")
    inspections.visit(
        city.records,
        stall.known_as(key),
        after(climax, -50),
        inspection.INSPECTION_RESULT_CONDITIONAL,
        findings=[inspections.finding("LICENCE_INVALID")],
    )
    registration.establish(city.records, stall, after(climax, -9))
    granted = after(climax, -4)
    registration.grant(city.records, stall, granted, after(granted, LICENCE_TERM_DAYS))
    identified = registry.ENTITY_LINK_REASON_IDENTIFIED
    registration.link(city.records, stall, key, climax, identified)


def old_number_gets_a_code(city: Chronicle, climax: date) -> None:
    """A sole trader known by a 15-digit number gets a code; records move on to it."""
    shop = city.invent(entities.BAKERY)
    key = EntityKey(scheme="regno", value=identity.registration_number(shop.number))
    numbered = shop.known_as(key)
    opened = after(city.start, 15)
    registration.establish(city.records, numbered, opened)
    until = after(opened, LICENCE_TERM_DAYS)
    registration.grant(city.records, numbered, after(opened, 5), until)
    inspections.visit(city.records, numbered, after(climax, -80), inspection.INSPECTION_RESULT_PASS)
    assigned = registry.ENTITY_LINK_REASON_CODE_ASSIGNED
    registration.link(city.records, shop, key, climax, assigned)
    inspections.visit(city.records, shop, after(climax, 12), inspection.INSPECTION_RESULT_PASS)
