"""The catalogue against the contract, and the features that are more than a window."""

from datetime import date, timedelta

import pytest
from google.protobuf.descriptor import Descriptor
from market_supervision.lifecycle.v1 import features_pb2, state_pb2

from services.lifecycle.features.catalogue import FEATURES, compute, value_of
from services.lifecycle.features.days import day_of
from services.lifecycle.testing import MadeFact, MadeView, made_licence

TODAY = date(2026, 3, 10)


def names_of(descriptor: Descriptor, prefix: str = "") -> set[str]:
    """Names of all fields, those of sub-messages with a dot."""
    names: set[str] = set()
    for field in descriptor.fields:
        if field.message_type is None:
            names.add(prefix + field.name)
        else:
            names |= names_of(field.message_type, f"{field.name}.")
    return names


def test_catalogue_names_every_field_of_the_contract_and_no_other() -> None:
    """A field without a function is a feature nobody computes."""
    assert FEATURES.keys() == names_of(features_pb2.Features.DESCRIPTOR)


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_feature_of_an_unknown_entity_has_the_type_of_its_field(name: str) -> None:
    """Every function answers for an entity of which nothing is known."""
    features = compute([name], MadeView(TODAY), day_of(TODAY), "m/1")
    assert isinstance(value_of(features, name), str | bool | int | float)


def test_only_named_features_are_computed() -> None:
    """What a rule does not read stays unset."""
    view = MadeView(TODAY, [MadeFact("complaints.complaint_received", day_of(TODAY), "c/1")])
    features = compute(["complaints_7d"], view, day_of(TODAY))
    assert features == features_pb2.Features(complaints_7d=1)


def test_weekly_mean_leaves_out_the_last_seven_days() -> None:
    """The baseline is the 90 days before the week that is judged against it."""
    days = [TODAY - timedelta(days=back) for back in (0, 6, 7, 50, 96, 97)]
    facts = [MadeFact("complaints.complaint_received", day_of(d), f"c/{d}") for d in days]
    features = compute(
        ["complaints_7d", "complaints_weekly_mean_prior_90d"], MadeView(TODAY, facts), day_of(TODAY)
    )
    assert features.complaints_7d == 2
    assert features.complaints_weekly_mean_prior_90d == pytest.approx(3 * 7 / 90)


def test_same_violation_names_the_most_frequent_code() -> None:
    """The most frequent code within a year; of equals the first in code order."""

    def penalty(back: int, code: str) -> MadeFact:
        return MadeFact(
            "penalties.penalty_decided",
            day_of(TODAY - timedelta(days=back)),
            f"p/{back}",
            code=code,
        )

    view = MadeView(
        TODAY,
        [penalty(1, "B"), penalty(2, "B"), penalty(3, "A"), penalty(364, "A"), penalty(365, "A")],
    )
    features = compute(
        ["penalties_same_violation_365d", "penalties_same_violation_code"], view, day_of(TODAY)
    )
    assert (features.penalties_same_violation_365d, features.penalties_same_violation_code) == (
        2,
        "A",
    )


def test_results_not_recorded_count_in_no_ratio() -> None:
    """An inspection without a recorded result changes neither rate nor last result."""

    def inspection(back: int, result: str) -> MadeFact:
        day = day_of(TODAY - timedelta(days=back))
        return MadeFact("inspections.inspection_completed", day, f"i/{back}", result=result)

    names = ["inspection_bad_rate_smoothed", "last_inspection_result", "days_since_last_inspection"]
    recorded = [inspection(40, "pass"), inspection(30, "fail")]
    alone = compute(names, MadeView(TODAY, recorded), day_of(TODAY))
    beside = compute(names, MadeView(TODAY, [*recorded, inspection(2, "")]), day_of(TODAY))
    assert alone == beside
    assert alone.inspection_bad_rate_smoothed == pytest.approx(1.5 / 5)
    assert (alone.last_inspection_result, alone.days_since_last_inspection) == ("fail", 30)
    before = compute(names, MadeView(TODAY, recorded), day_of(TODAY - timedelta(days=35)))
    assert before.last_inspection_result == "pass"
    assert before.inspection_bad_rate_smoothed == pytest.approx(0.5 / 4)


def test_listing_stands_until_the_day_of_its_removal() -> None:
    """At the end of the day of removal the entity is off the list."""

    class Listed(MadeView):
        @property
        def entity(self) -> state_pb2.EntityState:
            entity = super().entity
            entity.listings.add(
                matter_id="l/1",
                listed_time_ms=1,
                listed_day=day_of(date(2025, 7, 1)),
                removed_time_ms=2,
                removed_day=day_of(date(2025, 9, 1)),
            )
            return entity

    view = Listed(TODAY)
    names = ["on_abnormal_list", "days_on_abnormal_list"]
    on = compute(names, view, day_of(date(2025, 8, 31)))
    off = compute(names, view, day_of(date(2025, 9, 1)))
    assert (on.on_abnormal_list, on.days_on_abnormal_list) == (True, 61)
    assert (off.on_abnormal_list, off.days_on_abnormal_list) == (False, -1)


def test_claims_of_later_days_do_not_count() -> None:
    """As of a day an attribute has the value stated by then."""

    class Moved(MadeView):
        @property
        def entity(self) -> state_pb2.EntityState:
            entity = super().entity
            entity.claims.add(
                attribute=state_pb2.ATTRIBUTE_KIND_DIVISION,
                value="GB/T 2260 442000106",
                day=day_of(TODAY),
                event_time_ms=5,
                rank=1,
            )
            return entity

    assert compute(["division_code"], Moved(TODAY), day_of(TODAY)).division_code == "442000106"
    yesterday = day_of(TODAY - timedelta(days=1))
    assert compute(["division_code"], Moved(TODAY), yesterday).division_code == "442000"


def test_licence_features_describe_the_licence_asked_for() -> None:
    """The licence under examination is named by its matter, not by its place in the list."""
    first = made_licence("r/1", (date(2024, 1, 1), date(2026, 2, 28), date(2024, 1, 1)))
    second = made_licence("r/2", (date(2026, 3, 1), date(2027, 2, 28), date(2026, 3, 1)))
    view = MadeView(TODAY, licences=[first, second])
    names = [name for name in FEATURES if name.startswith("licence.")]
    licence = compute(names, view, day_of(TODAY), "r/1").licence
    assert (licence.status, licence.days_since_end, licence.replaced) == ("expired", 10, True)
    assert compute(names, view, day_of(TODAY), "r/2").licence.days_until_expiry == 355
