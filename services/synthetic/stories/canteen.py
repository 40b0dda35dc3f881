"""School meals: one bad batch and the kitchens it reached (校园食堂)."""

from datetime import date

from market_supervision.inspections.v1 import inspections_events_pb2 as inspection
from market_supervision.penalties.v1 import penalties_events_pb2 as penalty

from services.synthetic import entities
from services.synthetic.acts import inspections, penalties
from services.synthetic.chronicle import Chronicle
from services.synthetic.days import after
from services.synthetic.expectations import CANTEEN_FAILURE, AlertEnd, matter_episode

_CAMPAIGN = inspection.INSPECTION_KIND_CAMPAIGN


def bad_batch(city: Chronicle, climax: date) -> None:
    """A caterer delivers a bad batch; the canteens it supplies are all inspected."""
    supplier = city.open(entities.GROUP_CATERER).entity
    sample = inspections.sample(
        city.records,
        supplier,
        after(climax, -7),
        inspection.TEST_CONCLUSION_FAIL,
        "CATERING_FOOD",
        tested_after=5,
    )
    penalties.penalise(
        city.records,
        supplier,
        after(climax, 72),
        "FOOD_SUBSTANDARD",
        50_000,
        origin=sample,
        source=penalty.CLUE_SOURCE_SAMPLING,
    )
    found = [
        inspections.finding("MICROBIOLOGY", inspection.FINDING_SEVERITY_CRITICAL),
        inspections.finding("SAMPLE_RETENTION"),
    ]
    for trade in (entities.SCHOOL, entities.KINDERGARTEN):
        canteen = city.open(trade).entity
        visit = inspections.visit(
            city.records, canteen, climax, inspection.INSPECTION_RESULT_FAIL, _CAMPAIGN, found
        )
        matter = visit.envelope.matter_id
        inspections.rectify(city.records, canteen, climax, found, origin=matter)
        cause = "The canteen failed its inspection after a bad batch of its supplier."
        city.expect(CANTEEN_FAILURE, canteen, matter_episode(matter), climax, cause)
    for trade, result, why in (
        (entities.SCHOOL, inspection.INSPECTION_RESULT_CONDITIONAL, "conditional"),
        (entities.KINDERGARTEN, inspection.INSPECTION_RESULT_PASS, "passed"),
        (entities.SCHOOL, inspection.INSPECTION_RESULT_UNSPECIFIED, "closed for the holidays"),
    ):
        canteen = city.open(trade).entity
        inspections.visit(city.records, canteen, climax, result, _CAMPAIGN)
        city.nearly(CANTEEN_FAILURE, canteen, f"Supplied by the same caterer; {why}.")


def wrong_box_ticked(city: Chronicle, climax: date) -> None:
    """An inspector ticked "failed" for a canteen that was in order under conditions."""
    canteen = city.open(entities.SCHOOL).entity
    visit = inspections.visit(city.records, canteen, climax, inspection.INSPECTION_RESULT_FAIL)
    mended = inspections.visit_body(canteen, inspection.INSPECTION_RESULT_CONDITIONAL)
    city.records.correct(visit, city.clearing, body=mended)
    matter = matter_episode(visit.envelope.matter_id)
    cause = "Recorded as failed, corrected to conditional."
    city.expect(CANTEEN_FAILURE, canteen, matter, climax, cause, AlertEnd.CLOSED)
