"""An ordinary life: what happens to most entities, none of it alarming (日常)."""

from datetime import date
from random import Random

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.registration.v1.registration_events_pb2 import (
    EntityChanged,
    RegisteredAddress,
)

from services.synthetic import codes
from services.synthetic.acts import complaints, inspections, penalties, registration
from services.synthetic.acts.complaints import Handling
from services.synthetic.chronicle import OPENING_DAYS, Chronicle
from services.synthetic.days import after
from services.synthetic.entities import Entity, Trade

COMPLAINTS_APART_DAYS = 12
"""Least number of days between two complaints of an ordinary entity."""
VIOLATIONS = ("PRICE", "FOOD_EXPIRED", "HEALTH_CERTIFICATE", "ILLEGAL_ADVERTISING", "METROLOGY")
TOPICS = ("SERVICE_QUALITY", "AFTER_SALES", "PRICE", "PRODUCT_QUALITY", "FALSE_PROMOTION")


def lives_on(city: Chronicle, trade: Trade) -> None:
    """An entity opens, is inspected now and then, is complained about sometimes, reports yearly."""
    entity = city.open(trade).entity
    begin = after(city.start, OPENING_DAYS)
    _annual_reports(city, entity)
    _complaints(city, entity, begin)
    _visits(city, entity, begin)
    rng = entity.rng
    if rng.random() < 0.15:
        _moves(city, entity, _some_day(rng, begin, city.present))
    if rng.random() < 0.2:
        for violation in rng.sample(VIOLATIONS, rng.randint(1, 2)):
            decided = _some_day(rng, after(begin, 80), city.present)
            penalties.penalise(city.records, entity, decided, violation, rng.randint(5, 90) * 100)


def _annual_reports(city: Chronicle, entity: Entity) -> None:
    for year in range(city.start.year + 1, city.present.year + 1):
        filed = after(date(year, 1, 1), entity.rng.randrange(180))
        registration.file_annual_report(city.records, entity, filed)


def _complaints(city: Chronicle, entity: Entity, begin: date) -> None:
    rng = entity.rng
    often = rng.choice((150, 400, 900))
    day = after(begin, rng.randrange(often))
    while day <= city.present:
        handling = rng.choice((Handling.AGREED, Handling.TERMINATED, Handling.REFUSED))
        complaints.complain(city.records, entity, day, rng.choice(TOPICS), handling)
        day = after(day, COMPLAINTS_APART_DAYS + rng.randrange(often))


def _visits(city: Chronicle, entity: Entity, begin: date) -> None:
    rng = entity.rng
    day = after(begin, rng.randrange(200))
    while day <= city.present:
        late = after(day, 20) if rng.random() < 0.05 else None
        if rng.random() < 0.2:
            found = [inspections.finding("PURCHASE_RECORDS", inspection.FINDING_SEVERITY_MINOR)]
            conditional = inspection.INSPECTION_RESULT_CONDITIONAL
            visit = inspections.visit(
                city.records, entity, day, conditional, findings=found, arrives=late
            )
            origin = visit.envelope.matter_id
            inspections.rectify(city.records, entity, day, found, origin=origin)
        else:
            inspections.visit(
                city.records,
                entity,
                day,
                inspection.INSPECTION_RESULT_PASS,
                inspection.INSPECTION_KIND_DOUBLE_RANDOM,
                planned=after(day, -10),
                arrives=late,
            )
        if entity.trade.licence_type and rng.random() < 0.3:
            inspections.sample(
                city.records,
                entity,
                after(day, 3),
                inspection.TEST_CONCLUSION_PASS,
                "PACKAGED_FOOD",
            )
        day = after(day, 150 + rng.randrange(150))


def _moves(city: Chronicle, entity: Entity, day: date) -> None:
    code, town = entity.rng.choice(codes.TOWNS)
    address = RegisteredAddress(division=codes.division(code), text=f"中山市{town}虚构新街1号")
    registration.change(city.records, entity, day, EntityChanged(address=address))


def _some_day(rng: Random, first: date, last: date) -> date:
    return after(first, rng.randrange((last - first).days + 1))
