"""Complaints that pile up, and some that only seem to (投诉激增)."""

from collections.abc import Sequence
from datetime import date

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.penalties.v1 import penalties_events_pb2 as penalty
from market_supervision.registration.v1.registration_events_pb2 import EntityChanged

from services.contracts.families import FamilyEvent
from services.synthetic import entities, identity
from services.synthetic.acts import complaints, inspections, penalties, registration
from services.synthetic.acts.complaints import Handling
from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after, settle
from services.synthetic.entities import Entity
from services.synthetic.expectations import (
    CANTEEN_FAILURE,
    COMPLAINT_BURST,
    AlertEnd,
    month_episode,
)

TAIL_DAYS = 8
"""Days a burst lasts at most, from its first complaint to the last day on which it still counts."""


def _complain_on(
    city: Chronicle, entity: Entity, days: Sequence[date], topic: str = "FOOD_SAFETY"
) -> list[FamilyEvent]:
    endings = (Handling.AGREED, Handling.TERMINATED, Handling.REFUSED)
    return [
        complaints.complain(city.records, entity, day, topic, endings[index % 3])
        for index, day in enumerate(days)
    ]


def new_owner_lets_hygiene_slip(city: Chronicle, climax: date) -> None:
    """A restaurant changes hands, its kitchen goes down, guests fall ill and complain."""
    shop = city.open(entities.RESTAURANT).entity
    records = city.records
    first = settle(after(climax, -5), TAIL_DAYS, "month")
    new_owner = EntityChanged(legal_representative_key=identity.pseudonym(shop.person, "new"))
    registration.change(records, shop, after(first, -40), new_owner)
    _complain_on(city, shop, [after(first, -15)], "SERVICE_QUALITY")
    _complain_on(city, shop, [after(first, days) for days in (0, 1, 2, 2, 3, 3)])
    found = [
        inspections.finding("HYGIENE_PREMISES"),
        inspections.finding("PESTS", inspection.FINDING_SEVERITY_CRITICAL),
    ]
    inspected = after(first, 5)
    visit = inspections.visit(
        records,
        shop,
        inspected,
        inspection.INSPECTION_RESULT_FAIL,
        inspection.INSPECTION_KIND_COMPLAINT,
        found,
    )
    origin = visit.envelope.matter_id
    partly = inspection.VERIFICATION_RESULT_PARTLY_RECTIFIED
    inspections.rectify(records, shop, inspected, found, partly, origin)
    penalties.penalise(
        records,
        shop,
        after(inspected, 75),
        "FOOD_HYGIENE",
        8_000,
        origin=origin,
        source=penalty.CLUE_SOURCE_COMPLAINT_OR_REPORT,
    )
    day = after(first, 3)
    cause = "Six complaints in four days after a new owner let hygiene slip."
    city.expect(COMPLAINT_BURST, shop, month_episode(day), day, cause)
    city.nearly(CANTEEN_FAILURE, shop, "Failed, but a restaurant and no canteen.")


def letter_entered_late(city: Chronicle, climax: date) -> None:
    """Four complaints came online; the fifth was a letter, entered some days after it came."""
    shop = city.open(entities.SNACK_BAR).entity
    first = settle(after(climax, -6), TAIL_DAYS, "month")
    _complain_on(city, shop, [after(first, days) for days in (0, 2, 3, 4)])
    complaints.complain(city.records, shop, after(first, 1), "FOOD_SAFETY", arrives=after(first, 6))
    day = after(first, 4)
    cause = "Five complaints in five days; one of them was entered late."
    city.expect(COMPLAINT_BURST, shop, month_episode(day), day, cause)


def week_counted_in_the_citys_days(city: Chronicle, climax: date) -> None:
    """Five complaints in seven days of the city, which are eight days of Greenwich."""
    shop = city.open(entities.BAKERY).entity
    first = settle(after(climax, -7), TAIL_DAYS, "month")
    complaints.complain(city.records, shop, first, "FOOD_SAFETY", at=(0, 20))
    _complain_on(city, shop, [after(first, days) for days in (2, 3, 5)])
    complaints.complain(city.records, shop, after(first, 6), "FOOD_SAFETY", at=(23, 40))
    day = after(first, 6)
    cause = "Five complaints in seven civil days at +08:00, the first just after midnight."
    city.expect(COMPLAINT_BURST, shop, month_episode(day), day, cause)


def eight_days_taken_for_seven(city: Chronicle, climax: date) -> None:
    """Five complaints over eight days of the city, which are seven days of Greenwich."""
    shop = city.open(entities.BAKERY).entity
    first = settle(after(climax, -8), TAIL_DAYS, "month")
    _complain_on(city, shop, [after(first, days) for days in (0, 2, 4, 5)])
    complaints.complain(city.records, shop, after(first, 7), "FOOD_SAFETY", at=(0, 30))
    city.nearly(COMPLAINT_BURST, shop, "Five complaints in eight days, never five in seven.")


def gym_keeps_deposits(city: Chronicle, climax: date) -> None:
    """A gym does not pay back prepaid cards: four complaints, and reports beside them."""
    gym = city.open(entities.GYM).entity
    first = settle(after(climax, -5), TAIL_DAYS, "month")
    for days in (0, 1, 3, 4):
        complaints.complain(
            city.records,
            gym,
            after(first, days),
            "PREPAID_CARD",
            Handling.TERMINATED,
            is_prepaid=True,
        )
    for days in (1, 2, 4):
        matter = complaints.report(
            city.records,
            gym,
            after(first, days),
            "FALSE_PROMOTION",
            violation="FALSE_PROMOTION",
        )
    penalties.drop_clue(city.records, gym, after(first, 8), "FALSE_PROMOTION", matter)
    city.nearly(COMPLAINT_BURST, gym, "Four complaints in a week; reports are no complaints.")


def busy_shop_in_a_busy_week(city: Chronicle, climax: date) -> None:
    """A large supermarket is complained about every third day, and six times in one week."""
    shop = city.open(entities.SUPERMARKET).entity
    usual = (*range(-97, -6, 3), *range(11, 30, 3))
    _complain_on(city, shop, [after(climax, days) for days in usual], "AFTER_SALES")
    _complain_on(city, shop, [after(climax, days) for days in (0, 1, 2, 3, 3, 4)], "PRICE")
    city.nearly(COMPLAINT_BURST, shop, "Six complaints in a week, under three times the usual.")


def same_customer_twice(city: Chronicle, climax: date) -> None:
    """Five complaints, of which one turns out to be another one filed again."""
    shop = city.open(entities.ONLINE_SHOP).entity
    first = settle(after(climax, -6), TAIL_DAYS, "month")
    received = _complain_on(city, shop, [after(first, days) for days in range(5)], "AFTER_SALES")
    city.records.withdraw(received[2], city.clearing)
    day = after(first, 4)
    cause = "Five complaints in five days; one was withdrawn as filed twice."
    city.expect(COMPLAINT_BURST, shop, month_episode(day), day, cause, AlertEnd.CLOSED)


def it_was_the_neighbour(city: Chronicle, climax: date) -> None:
    """Five complaints, of which one was about the shop next door."""
    shop = city.open(entities.SNACK_BAR).entity
    neighbour = city.open(entities.SNACK_BAR).entity
    first = settle(after(climax, -6), TAIL_DAYS, "month")
    received = [
        complaints.complain(
            city.records, shop, after(first, days), "SERVICE_QUALITY", Handling.PENDING
        )
        for days in range(5)
    ]
    city.records.correct(received[3], city.clearing, entity=neighbour)
    day = after(first, 4)
    cause = "Five complaints in five days; one was corrected to the shop next door."
    city.expect(COMPLAINT_BURST, shop, month_episode(day), day, cause, AlertEnd.CLOSED)
    city.nearly(COMPLAINT_BURST, neighbour, "One complaint, corrected to it.")
