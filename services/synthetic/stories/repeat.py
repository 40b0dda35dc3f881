"""Those who are fined again, and those who are not quite (屡次违法)."""

from datetime import date

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection

from services.synthetic import entities
from services.synthetic.acts import inspections, penalties
from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after, moment, settle
from services.synthetic.expectations import REPEAT_VIOLATOR, AlertEnd, year_episode

APART_DAYS = 355
"""Days between the two penalties of a repeat violator: just within a year."""
TAIL_DAYS = 12
"""Days, and a few more, for which both then still count."""


def old_habits(city: Chronicle, climax: date) -> None:
    """A caterer is fined for hygiene, mends it, lets it go again and is fined again."""
    shop = city.open(entities.RESTAURANT).entity
    second = settle(climax, TAIL_DAYS, "year")
    for decided, fine, result in (
        (after(second, -APART_DAYS), 5_000, inspection.INSPECTION_RESULT_CONDITIONAL),
        (second, 20_000, inspection.INSPECTION_RESULT_FAIL),
    ):
        found = [inspections.finding("CROSS_CONTAMINATION")]
        visit = inspections.visit(
            city.records,
            shop,
            after(decided, -72),
            result,
            findings=found,
            planned=after(decided, -80),
        )
        origin = visit.envelope.matter_id
        inspections.rectify(city.records, shop, after(decided, -72), found, origin=origin)
        penalties.penalise(city.records, shop, decided, "FOOD_HYGIENE", fine, origin=origin)
    cause = f"Two penalties for one violation, {APART_DAYS} days apart."
    city.expect(REPEAT_VIOLATOR, shop, year_episode(second), second, cause)


def two_different_wrongs(city: Chronicle, climax: date) -> None:
    """A supermarket is fined for prices, then for expired food."""
    shop = city.open(entities.SUPERMARKET).entity
    penalties.penalise(city.records, shop, after(climax, -100), "PRICE", 3_000)
    penalties.penalise(city.records, shop, climax, "FOOD_EXPIRED", 12_000)
    city.nearly(REPEAT_VIOLATOR, shop, "Two penalties, for different violations.")


def thirteen_months_apart(city: Chronicle, climax: date) -> None:
    """A lamp maker is fined for the same defect, more than a year later."""
    works = city.open(entities.LAMP_MAKER).entity
    penalties.penalise(city.records, works, after(climax, -396), "PRODUCT_SUBSTANDARD", 9_000)
    penalties.penalise(city.records, works, climax, "PRODUCT_SUBSTANDARD", 120_000)
    city.nearly(REPEAT_VIOLATOR, works, "Two penalties for one violation, 13 months apart.")


def first_one_annulled(city: Chronicle, climax: date) -> None:
    """The first penalty is annulled on review before the second is decided."""
    shop = city.open(entities.ONLINE_SHOP).entity
    first = after(climax, -200)
    decision = penalties.penalise(city.records, shop, first, "FALSE_PROMOTION", 30_000)
    city.records.withdraw(decision, moment(after(first, 60), 10))
    penalties.penalise(city.records, shop, climax, "FALSE_PROMOTION", 30_000)
    city.nearly(REPEAT_VIOLATOR, shop, "Two penalties, the first annulled before the second.")


def spared_once(city: Chronicle, climax: date) -> None:
    """A pharmacy is exempted the first time and fined the second."""
    shop = city.open(entities.PHARMACY).entity
    penalties.exempt(city.records, shop, after(climax, -180), "DRUG_DEVICE_COSMETIC")
    penalties.penalise(city.records, shop, climax, "DRUG_DEVICE_COSMETIC", 0)
    city.nearly(REPEAT_VIOLATOR, shop, "One exemption and one penalty for one violation.")


def wrong_code_entered(city: Chronicle, climax: date) -> None:
    """The second penalty was entered under the wrong violation."""
    shop = city.open(entities.BAKERY).entity
    second = settle(climax, TAIL_DAYS, "year")
    penalties.penalise(city.records, shop, after(second, -APART_DAYS), "FOOD_ADDITIVE", 6_000)
    decision = penalties.penalise(city.records, shop, second, "FOOD_ADDITIVE", 7_000)
    case = decision.envelope.matter_id
    mended = penalties.decided_body(shop, second, "HEALTH_CERTIFICATE", 7_000, case)
    city.records.correct(decision, city.clearing, body=mended)
    cause = "Two penalties for one violation; the code of the second was corrected."
    city.expect(REPEAT_VIOLATOR, shop, year_episode(second), second, cause, AlertEnd.CLOSED)
