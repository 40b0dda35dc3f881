"""Licences that run out, and trade that goes on without them (许可到期与无证经营)."""

from datetime import date

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.registration.v1 import registration_events_pb2 as registry

from services.synthetic import entities
from services.synthetic.acts import inspections, registration
from services.synthetic.acts.registration import Licence
from services.synthetic.chronicle import LICENCE_TERM_DAYS, Chronicle
from services.synthetic.days import after, moment
from services.synthetic.expectations import (
    LICENCE_EXPIRING,
    UNLICENSED_TRADING,
    AlertEnd,
    term_episode,
)

NOTICE_DAYS = 30
"""Days before the last one on which the supervision plan wants the holder warned."""
FORGOTTEN_DAYS = 190
"""Days for which a forgotten licence had lapsed when the story comes to its climax."""


def _expect_notice(
    city: Chronicle, licence: Licence, last_day: date, cause: str, end: AlertEnd = AlertEnd.OPEN
) -> None:
    episode = term_episode(licence.matter, last_day)
    notice = after(last_day, -NOTICE_DAYS)
    city.expect(LICENCE_EXPIRING, licence.entity, episode, notice, cause, end)


def _expect_lapse(city: Chronicle, licence: Licence) -> None:
    _expect_notice(city, licence, licence.last_day, "The owner forgot the licence; it ran out.")


def found_in_the_paper_files(city: Chronicle, climax: date) -> None:
    """A town office enters an old paper licence, which is about to run out."""
    entity = city.invent(entities.RESTAURANT)
    registration.establish(city.records, entity, after(city.start, 20))
    licence = registration.grant(
        city.records, entity, after(city.start, 30), after(city.present, 10), arrives=climax
    )
    cause = "A licence entered from paper runs out within 30 days."
    _expect_notice(city, licence, licence.last_day, cause)


def year_mistyped(city: Chronicle, climax: date) -> None:
    """The last day of a licence was entered with the wrong year, and is corrected."""
    last_day = after(city.present, 15)
    business = city.open(entities.SNACK_BAR, after(last_day, 730))
    licence = business.held_licence()
    body = registration.grant_body(licence.type_code, licence.number, licence.granted, last_day)
    city.records.correct(licence.grant, moment(climax, 9, 40), body=body)
    cause = "The last day was corrected by two years and is near."
    _expect_notice(city, licence, last_day, cause)


def forgotten_and_shut(city: Chronicle, climax: date) -> None:
    """An owner forgets the licence; when inspectors come, the shutters are down."""
    business = city.open(entities.SNACK_BAR, after(climax, -FORGOTTEN_DAYS))
    licence = business.held_licence()
    registration.record_lapse(city.records, licence, after(licence.last_day, 3))
    inspections.visit(
        city.records, business.entity, climax, inspection.INSPECTION_RESULT_UNSPECIFIED
    )
    _expect_lapse(city, licence)
    city.nearly(UNLICENSED_TRADING, business.entity, "Lapsed, but nobody was found trading.")


def inspected_on_the_last_day(city: Chronicle, climax: date) -> None:
    """A shop is inspected on the last day of its licence and then gives up."""
    business = city.open(entities.SNACK_BAR, after(climax, -FORGOTTEN_DAYS))
    licence = business.held_licence()
    inspections.visit(
        city.records, business.entity, licence.last_day, inspection.INSPECTION_RESULT_PASS
    )
    _expect_lapse(city, licence)
    city.nearly(UNLICENSED_TRADING, business.entity, "Traded on the last day, not after it.")


def forgotten_and_trading(city: Chronicle, climax: date) -> None:
    """A licence lapses because the owner forgot, and trading goes on."""
    business = city.open(entities.RESTAURANT, after(climax, -FORGOTTEN_DAYS))
    licence = business.held_licence()
    registration.record_lapse(city.records, licence, after(licence.last_day, 5))
    inspections.visit(
        city.records,
        business.entity,
        climax,
        inspection.INSPECTION_RESULT_CONDITIONAL,
        inspection.INSPECTION_KIND_UNANNOUNCED,
        [inspections.finding("LICENCE_INVALID")],
    )
    _expect_lapse(city, licence)
    cause = "Found trading half a year after the licence ran out."
    episode = term_episode(licence.matter, licence.last_day)
    city.expect(UNLICENSED_TRADING, business.entity, episode, climax, cause)


def revoked_and_selling(city: Chronicle, climax: date) -> None:
    """A licence got by false commitment is revoked, and the bakery sells on."""
    business = city.open(entities.BAKERY)
    licence = business.held_licence()
    revoked = after(climax, -30)
    registration.revoke(city.records, licence, revoked)
    inspections.sample(
        city.records,
        business.entity,
        climax,
        inspection.TEST_CONCLUSION_PASS,
        "PASTRY",
        channel=inspection.SAMPLE_CHANNEL_ONLINE_ORDER,
    )
    cause = "Food was bought from it a month after its licence was revoked."
    episode = term_episode(licence.matter, revoked)
    city.expect(UNLICENSED_TRADING, business.entity, episode, climax, cause)


def new_licence_in_time(city: Chronicle, climax: date) -> None:
    """The old licence lapses unrenewed, but the shop holds a new one of the same kind."""
    business = city.open(entities.RESTAURANT, after(climax, -FORGOTTEN_DAYS))
    licence = business.held_licence()
    granted = after(licence.last_day, -20)
    registration.grant(city.records, business.entity, granted, after(granted, LICENCE_TERM_DAYS))
    inspections.visit(city.records, business.entity, climax, inspection.INSPECTION_RESULT_PASS)
    why = "A new licence of the kind was granted 20 days before the old one's last day."
    _expect_notice(city, licence, licence.last_day, why, AlertEnd.NOT_OPEN)
    city.nearly(LICENCE_EXPIRING, business.entity, why)
    city.nearly(UNLICENSED_TRADING, business.entity, "One licence lapsed, another is valid.")


def renewed_in_time(city: Chronicle, climax: date) -> None:
    """A pharmacy renews its licence before anybody has to remind it."""
    business = city.open(entities.PHARMACY, climax)
    licence = business.held_licence()
    registration.renew(
        city.records, licence, after(climax, -NOTICE_DAYS - 8), after(climax, LICENCE_TERM_DAYS)
    )
    inspections.visit(
        city.records, business.entity, after(climax, 25), inspection.INSPECTION_RESULT_PASS
    )
    why = "Renewed 38 days before the last day."
    _expect_notice(city, licence, licence.last_day, why, AlertEnd.NOT_OPEN)
    city.nearly(LICENCE_EXPIRING, business.entity, why)
    city.nearly(UNLICENSED_TRADING, business.entity, "Trades on under the renewed licence.")


def renewed_at_the_last_moment(city: Chronicle, climax: date) -> None:
    """A supermarket renews four days before the end, after the warning."""
    business = city.open(entities.SUPERMARKET, climax)
    licence = business.held_licence()
    registration.renew(city.records, licence, after(climax, -4), after(climax, LICENCE_TERM_DAYS))
    why = "Warned, then renewed four days before the last day."
    _expect_notice(city, licence, licence.last_day, why, AlertEnd.NOT_OPEN)


def gave_it_back(city: Chronicle, climax: date) -> None:
    """A bakery closes its kitchen and hands the licence back six weeks before its end."""
    business = city.open(entities.BAKERY, climax)
    licence = business.held_licence()
    ground = registry.LICENCE_CANCELLATION_GROUND_HOLDER_REQUEST
    registration.cancel(city.records, licence, after(climax, -42), ground)
    why = "Cancelled on request 42 days before the last day."
    _expect_notice(city, licence, licence.last_day, why, AlertEnd.NOT_OPEN)
    city.nearly(LICENCE_EXPIRING, business.entity, why)
    city.nearly(UNLICENSED_TRADING, business.entity, "Closed its kitchen before handing it back.")
