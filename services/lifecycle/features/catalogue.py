"""The feature catalogue: one function for every field of the Features message (指标目录). Pure.

FEATURES is the whole list. A test compares it with the message by reflection, both ways.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from market_supervision.lifecycle.v1 import features_pb2, state_pb2
from market_supervision.profiles.v1.entity_profile_pb2 import RegistrationStatus

from services.contracts.licence_standing import is_latest_of_type, is_replaced
from services.contracts.registration_status import standing
from services.lifecycle.features.moment import Moment
from services.lifecycle.features.windows import total_until
from services.lifecycle.view import EntityView

Value = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Feature:
    """How a feature is computed, and how many days a fact can bear on it."""

    compute: Callable[[Moment], Value]
    reach_days: int | None = None
    """A fact of day D bears on the days D to D + reach - 1; None: on every later day."""


def _count(counter: state_pb2.Counter.ValueType, length_days: int) -> Feature:
    return Feature(lambda moment: moment.count(counter, length_days), length_days)


def _registration_status(moment: Moment) -> str:
    facts = (fact for fact in moment.entity.registration_facts if fact.day <= moment.day)
    status = standing(facts).status
    if status == RegistrationStatus.REGISTRATION_STATUS_UNSPECIFIED:
        return "unknown"
    return RegistrationStatus.Name(status).removeprefix("REGISTRATION_STATUS_").lower()


def _days_since_established(moment: Moment) -> int:
    days = [
        fact.day
        for fact in moment.entity.registration_facts
        if fact.kind == "entity_established" and fact.day <= moment.day
    ]
    return moment.day - min(days) if days else -1


def _code_of(claim: str) -> str:
    return claim.rpartition(" ")[2]


def _days_on_abnormal_list(moment: Moment) -> int:
    days = [listing.listed_day for listing in moment.standing_listings()]
    return moment.day - min(days) if days else -1


def _weekly_mean_prior(moment: Moment) -> float:
    # Multiplied before dividing, so that a whole number of complaints a week is exact.
    return moment.count_before(state_pb2.COUNTER_COMPLAINTS, 7, 90) * 7 / 90


def _bad_rate(moment: Moment) -> float:
    passed, conditional, failed = (
        total_until(moment.view, counter, moment.day)
        for counter in (
            state_pb2.COUNTER_INSPECTIONS_PASSED,
            state_pb2.COUNTER_INSPECTIONS_CONDITIONAL,
            state_pb2.COUNTER_INSPECTIONS_FAILED,
        )
    )
    return (conditional + failed + 0.5) / (passed + conditional + failed + 3)


def _days_since_last_inspection(moment: Moment) -> int:
    last = moment.last_inspection
    return -1 if last is None else moment.day - last.day


def _last_inspection_result(moment: Moment) -> str:
    return "" if moment.last_inspection is None else moment.last_inspection.result


def _same_violation(moment: Moment) -> tuple[int, str]:
    sums = moment.sums(state_pb2.COUNTER_PENALTIES_BY_VIOLATION, 365)
    ranked = ((-count, code) for code, count in sums.items() if count > 0)
    count, code = min(ranked, default=(0, ""))
    return -count, code


_SIGNALS = (
    state_pb2.COUNTER_COMPLAINTS,
    state_pb2.COUNTER_REPORTS,
    state_pb2.COUNTER_INSPECTIONS_FAILED,
    state_pb2.COUNTER_SAMPLES_FAILED,
    state_pb2.COUNTER_PENALTIES,
    state_pb2.COUNTER_ABNORMAL_LISTINGS,
    state_pb2.COUNTER_ADVERSE_REACTIONS,
)


def _open_matters(moment: Moment) -> int:
    return sum(
        entry.sum
        for entry in moment.entity.totals
        if entry.counter == state_pb2.COUNTER_OPEN_MATTERS
    )


def _days_since_opened(moment: Moment) -> int:
    if moment.matter is None or not moment.matter.days:
        return 0
    return max(0, moment.day - moment.matter.days[0])


def _digest(field: str, empty: Value) -> Feature:
    return Feature(lambda m: empty if m.matter is None else getattr(m.matter.digest, field))


def _result(field: str, empty: Value) -> Feature:
    return Feature(lambda m: empty if m.latest_result is None else getattr(m.latest_result, field))


def _penalty(field: str, empty: Value) -> Feature:
    def compute(moment: Moment) -> Value:
        penalty = None if moment.matter is None else moment.matter.penalty
        if penalty is None or penalty.day > moment.day:
            return empty
        value: Value = getattr(penalty, field)
        return value

    return Feature(compute)


def _licence(field: str, empty: Value) -> Feature:
    return Feature(lambda m: empty if m.licence is None else getattr(m.licence, field))


def _replaced(moment: Moment) -> bool:
    licence = moment.licence
    return licence is not None and is_replaced(moment.view.all_licences(), licence, moment.day)


def _latest_of_type(moment: Moment) -> bool:
    licence, licences = moment.licence, moment.view.all_licences()
    return licence is not None and is_latest_of_type(licences, licence, moment.day)


_ENTITY: Mapping[str, Feature] = {
    "entity_key_scheme": Feature(lambda m: m.entity.entity_key.partition(":")[0]),
    "registration_status": Feature(_registration_status),
    "days_since_established": Feature(_days_since_established),
    "division_code": Feature(lambda m: _code_of(m.claim(state_pb2.ATTRIBUTE_KIND_DIVISION))),
    "industry_code": Feature(lambda m: _code_of(m.claim(state_pb2.ATTRIBUTE_KIND_INDUSTRY))),
    "on_abnormal_list": Feature(lambda m: any(True for _ in m.standing_listings())),
    "days_on_abnormal_list": Feature(_days_on_abnormal_list),
    "abnormal_listings_730d": _count(state_pb2.COUNTER_ABNORMAL_LISTINGS, 730),
    "complaints_1d": _count(state_pb2.COUNTER_COMPLAINTS, 1),
    "complaints_7d": _count(state_pb2.COUNTER_COMPLAINTS, 7),
    "complaints_30d": _count(state_pb2.COUNTER_COMPLAINTS, 30),
    "complaints_90d": _count(state_pb2.COUNTER_COMPLAINTS, 90),
    "complaints_365d": _count(state_pb2.COUNTER_COMPLAINTS, 365),
    "complaints_weekly_mean_prior_90d": Feature(_weekly_mean_prior, 97),
    "reports_30d": _count(state_pb2.COUNTER_REPORTS, 30),
    "reports_365d": _count(state_pb2.COUNTER_REPORTS, 365),
    "inspections_365d": _count(state_pb2.COUNTER_INSPECTIONS, 365),
    "inspections_failed_30d": _count(state_pb2.COUNTER_INSPECTIONS_FAILED, 30),
    "inspections_failed_365d": _count(state_pb2.COUNTER_INSPECTIONS_FAILED, 365),
    "inspections_conditional_365d": _count(state_pb2.COUNTER_INSPECTIONS_CONDITIONAL, 365),
    "inspection_bad_rate_smoothed": Feature(_bad_rate),
    "days_since_last_inspection": Feature(_days_since_last_inspection),
    "last_inspection_result": Feature(_last_inspection_result),
    "samples_tested_365d": _count(state_pb2.COUNTER_SAMPLES_TESTED, 365),
    "samples_failed_365d": _count(state_pb2.COUNTER_SAMPLES_FAILED, 365),
    "critical_findings_365d": _count(state_pb2.COUNTER_CRITICAL_FINDINGS, 365),
    "adverse_reactions_30d": _count(state_pb2.COUNTER_ADVERSE_REACTIONS, 30),
    "adverse_reactions_serious_30d": _count(state_pb2.COUNTER_ADVERSE_REACTIONS_SERIOUS, 30),
    "penalties_365d": _count(state_pb2.COUNTER_PENALTIES, 365),
    "penalties_730d": _count(state_pb2.COUNTER_PENALTIES, 730),
    "penalties_same_violation_365d": Feature(lambda m: _same_violation(m)[0], 365),
    "penalties_same_violation_code": Feature(lambda m: _same_violation(m)[1], 365),
    "fines_fen_365d": _count(state_pb2.COUNTER_FINES_FEN, 365),
    "exemptions_730d": _count(state_pb2.COUNTER_EXEMPTIONS, 730),
    "cases_filed_365d": _count(state_pb2.COUNTER_CASES_FILED, 365),
    "activity_1d": _count(state_pb2.COUNTER_ACTIVITY, 1),
    "activity_30d": _count(state_pb2.COUNTER_ACTIVITY, 30),
    "signal_kinds_30d": Feature(lambda m: sum(m.count(s, 30) > 0 for s in _SIGNALS), 30),
    "facts_365d": _count(state_pb2.COUNTER_FACTS, 365),
    "open_matters_now": Feature(_open_matters),
}

_MATTER: Mapping[str, Feature] = {
    "matter_id": Feature(lambda m: m.matter_id or ""),
    "kind": _digest("kind", ""),
    "stage": _digest("stage", ""),
    "open": _digest("open", empty=False),
    "outcome": _digest("outcome", ""),
    "result": _result("result", ""),
    "findings": _result("findings", 0),
    "worst_severity": _result("worst_severity", ""),
    "place_type": _result("place_type", ""),
    "violation_code": _penalty("violation_code", ""),
    "fine_amount_fen": _penalty("fine_amount_fen", 0),
    "days_since_opened": Feature(_days_since_opened),
}

_LICENCE: Mapping[str, Feature] = {
    "matter_id": Feature(lambda m: m.matter_id or ""),
    "licence_type": _licence("licence_type", ""),
    "status": Feature(lambda m: m.standing.status),
    "days_until_expiry": Feature(lambda m: m.standing.days_until_expiry),
    "days_since_end": Feature(lambda m: m.standing.days_since_end),
    "replaced": Feature(_replaced),
    "licence_number": _licence("licence_number", ""),
    "latest_of_type": Feature(_latest_of_type),
}

MATTER_PREFIX = "matter."
LICENCE_PREFIX = "licence."

FEATURES: Mapping[str, Feature] = MappingProxyType(
    dict(_ENTITY)
    | {MATTER_PREFIX + name: feature for name, feature in _MATTER.items()}
    | {LICENCE_PREFIX + name: feature for name, feature in _LICENCE.items()}
)
"""Name → feature. Fields of the sub-messages are named with a dot: `matter.result`."""


def compute(
    names: Iterable[str], view: EntityView, day: int, matter_id: str | None = None
) -> features_pb2.Features:
    """Return a Features message with the named fields as of the end of ``day``, and no others.

    ``matter_id`` is the matter or licence under examination. KeyError for a name that is not in the
    catalogue.
    """
    return computed(names, Moment(view, day, matter_id))


def computed(names: Iterable[str], moment: Moment) -> features_pb2.Features:
    """Return the named features of a moment."""
    features = features_pb2.Features()
    for name in names:
        holder, _, field = name.rpartition(".")
        target = getattr(features, holder) if holder else features
        setattr(target, field, FEATURES[name].compute(moment))
    return features


def value_of(features: features_pb2.Features, name: str) -> Value:
    """Return one feature of a message by its name in the catalogue."""
    holder, _, field = name.rpartition(".")
    value: Value = getattr(getattr(features, holder) if holder else features, field)
    return value
