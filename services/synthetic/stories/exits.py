"""Ways out of the market, and pauses (退出与歇业)."""

from datetime import date

from market_supervision.registration.v1 import registration_events_pb2 as pb

from services.synthetic import codes, entities
from services.synthetic.acts import complaints, registration
from services.synthetic.acts.complaints import Handling
from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after, moment, wire_date
from services.synthetic.expectations import UNLICENSED_TRADING


def closes_properly(city: Chronicle, climax: date) -> None:
    """A snack bar gives notice, hands its licence back and is struck off without objection."""
    business = city.open(entities.SNACK_BAR)
    matter = registration.publish_exit_notice(city.records, business.entity, after(climax, -26))
    ground = pb.LICENCE_CANCELLATION_GROUND_HOLDER_CEASED
    registration.cancel(city.records, business.held_licence(), after(climax, -10), ground)
    simple = pb.DEREGISTRATION_PROCEDURE_SIMPLE
    registration.deregister(city.records, business.entity, climax, simple, matter)
    city.nearly(UNLICENSED_TRADING, business.entity, "Licence ended, and so did the business.")


def leaves_with_complaints_open(city: Chronicle, climax: date) -> None:
    """A gym wants to leave while complaints are open; an authority objects, the notice ends."""
    gym = city.open(entities.GYM).entity
    complaints.complain(
        city.records, gym, after(climax, -20), "PREPAID_CARD", Handling.PENDING, is_prepaid=True
    )
    matter = registration.publish_exit_notice(city.records, gym, after(climax, -8))
    objected = pb.SimpleDeregistrationObjected(
        ground=pb.DEREGISTRATION_OBJECTION_GROUND_DEBT_UNSETTLED, objecting_unit=gym.town_code
    )
    withdrawn = pb.SimpleDeregistrationNoticeWithdrawn(is_withdrawn_by_entity=False)
    records = city.records
    records.state(gym, objected, matter=matter, happened=moment(after(climax, -2), 10, 30))
    records.state(gym, withdrawn, matter=matter, happened=moment(climax, 10, 30))


def vanished(city: Chronicle, climax: date) -> None:
    """A trading firm cannot be reached, is listed, and loses its business licence."""
    firm = city.open(entities.ONLINE_SHOP).entity
    unreachable = pb.ABNORMAL_LISTING_REASON_UNREACHABLE
    registration.list_abnormal(city.records, firm, after(climax, -150), unreachable)
    matter = city.records.matter("registration", firm, "D")
    body = pb.BusinessLicenceRevoked(
        ground=pb.BUSINESS_LICENCE_REVOCATION_GROUND_DORMANT,
        decision_number=codes.document_number("吊", climax, matter),
    )
    city.records.state(firm, body, matter=matter, happened=moment(climax, 15))


def pauses_for_repairs(city: Chronicle, climax: date) -> None:
    """A lamp maker suspends its business for two months and resumes."""
    works = city.open(entities.LAMP_MAKER).entity
    start = after(climax, -60)
    matter = city.records.matter("registration", works, "T")
    suspended = pb.BusinessSuspended(
        suspended_from_date=wire_date(start), planned_until_date=wire_date(after(start, 90))
    )
    resumed = pb.BusinessResumed(ground=pb.RESUMPTION_GROUND_OWN_DECISION)
    city.records.state(works, suspended, matter=matter, happened=moment(start, 9, 15))
    city.records.state(works, resumed, matter=matter, happened=moment(climax, 9, 15))


def forgets_its_report(city: Chronicle, climax: date) -> None:
    """A firm forgets its annual report, is listed, files late and is removed."""
    firm = city.open(entities.LAMP_MAKER).entity
    missing = pb.ABNORMAL_LISTING_REASON_ANNUAL_REPORT_MISSING
    remove = registration.list_abnormal(city.records, firm, after(climax, -40), missing)
    registration.file_annual_report(city.records, firm, after(climax, -5))
    remove(climax)
