"""What else the year brings: bad goods, side effects, frauds, credit repair (其他案事件)."""

from datetime import date

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.penalties.v1 import penalties_events_pb2 as penalty

from services.synthetic import entities
from services.synthetic.acts import complaints, inspections, penalties
from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after


def side_effects(city: Chronicle, climax: date) -> None:
    """Customers of a pharmacy report side effects of a drug, a device and a cosmetic."""
    shop = city.open(entities.PHARMACY).entity
    serious = inspection.ADVERSE_REACTION_SEVERITY_SERIOUS
    for days, kind, severity in (
        (-60, inspection.ADVERSE_REACTION_KIND_DRUG, inspection.ADVERSE_REACTION_SEVERITY_NEW),
        (-25, inspection.ADVERSE_REACTION_KIND_DEVICE, serious),
        (0, inspection.ADVERSE_REACTION_KIND_COSMETIC, serious),
    ):
        inspections.report_adverse_reaction(city.records, shop, after(climax, days), kind, severity)


def fake_goods_online(city: Chronicle, climax: date) -> None:
    """A named informant reports fakes in an online shop; the case goes to the police."""
    shop = city.open(entities.ONLINE_SHOP).entity
    case = penalties.open_case(city.records, shop)
    complaints.report(
        city.records,
        shop,
        after(climax, -90),
        "TRADEMARK",
        violation="IP_INFRINGEMENT",
        case_matter=case,
    )
    inspections.sample(
        city.records,
        shop,
        after(climax, -75),
        inspection.TEST_CONCLUSION_FAIL,
        "COSMETIC",
        inspection.SAMPLE_KIND_PRODUCT,
        inspection.SAMPLE_CHANNEL_ONLINE_PURCHASE,
    )
    penalties.penalise(
        city.records,
        shop,
        after(climax, -10),
        "IP_INFRINGEMENT",
        150_000,
        case=case,
        source=penalty.CLUE_SOURCE_COMPLAINT_OR_REPORT,
    )
    penalties.transfer_to_police(city.records, shop, climax, case)


def repairs_its_credit(city: Chronicle, climax: date) -> None:
    """A works with defective lamps pays, applies too early, applies again and is cleared."""
    works = city.open(entities.LAMP_MAKER).entity
    inspections.sample(
        city.records,
        works,
        after(climax, -180),
        inspection.TEST_CONCLUSION_FAIL,
        "LIGHTING",
        inspection.SAMPLE_KIND_PRODUCT,
    )
    decision = penalties.penalise(
        city.records,
        works,
        after(climax, -100),
        "PRODUCT_SUBSTANDARD",
        16_000,
        source=penalty.CLUE_SOURCE_SAMPLING,
    )
    case = decision.envelope.matter_id
    penalties.repair_credit(city.records, works, after(climax, -60), case, granted=False)
    penalties.repair_credit(city.records, works, after(climax, -8), case, granted=True)
