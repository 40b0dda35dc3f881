"""Features of an entity at the end of a civil day, each asked of the whole picture. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.reference.entity import Matter, Picture
from integration_tests.judge.reference.licences import Worth, is_latest, is_replaced, worth_on

_IN_BUSINESS = frozenset({"unknown", "active", "suspended", "simple_deregistration_notice"})
_MOVES: Mapping[str, tuple[frozenset[str], str]] = MappingProxyType(
    {
        "entity_established": (frozenset({"unknown"}), "active"),
        "business_suspended": (_IN_BUSINESS, "suspended"),
        "business_resumed": (frozenset({"unknown", "suspended"}), "active"),
        "simple_deregistration_notice_published": (_IN_BUSINESS, "simple_deregistration_notice"),
        "simple_deregistration_objected": (
            frozenset({"unknown", "simple_deregistration_notice"}),
            "active",
        ),
        "simple_deregistration_notice_withdrawn": (
            frozenset({"unknown", "simple_deregistration_notice"}),
            "active",
        ),
        "business_licence_revoked": (_IN_BUSINESS, "licence_revoked"),
        "entity_deregistered": (_IN_BUSINESS | {"licence_revoked"}, "deregistered"),
    }
)
"""Event type → standings it can leave, standing it leads to."""

_WINDOWED = re.compile(r"(?P<what>[a-z_]+)_(?P<days>[0-9]+)d")
_COUNTERS: Mapping[str, int] = MappingProxyType(
    {
        "abnormal_listings": state_pb2.COUNTER_ABNORMAL_LISTINGS,
        "activity": state_pb2.COUNTER_ACTIVITY,
        "adverse_reactions": state_pb2.COUNTER_ADVERSE_REACTIONS,
        "adverse_reactions_serious": state_pb2.COUNTER_ADVERSE_REACTIONS_SERIOUS,
        "cases_filed": state_pb2.COUNTER_CASES_FILED,
        "complaints": state_pb2.COUNTER_COMPLAINTS,
        "critical_findings": state_pb2.COUNTER_CRITICAL_FINDINGS,
        "exemptions": state_pb2.COUNTER_EXEMPTIONS,
        "facts": state_pb2.COUNTER_FACTS,
        "fines_fen": state_pb2.COUNTER_FINES_FEN,
        "inspections": state_pb2.COUNTER_INSPECTIONS,
        "inspections_conditional": state_pb2.COUNTER_INSPECTIONS_CONDITIONAL,
        "inspections_failed": state_pb2.COUNTER_INSPECTIONS_FAILED,
        "penalties": state_pb2.COUNTER_PENALTIES,
        "reports": state_pb2.COUNTER_REPORTS,
        "samples_failed": state_pb2.COUNTER_SAMPLES_FAILED,
        "samples_tested": state_pb2.COUNTER_SAMPLES_TESTED,
    }
)
"""What a name of the form `<what>_<days>d` counts."""


class UnknownFeatureError(LookupError):
    """A rule reads a feature that the judge does not know: it must be taught, not skipped."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An entity, and one of its matters where asked for, at the end of a day."""

    picture: Picture
    day: int
    matter_id: str = ""

    @property
    def matter(self) -> Matter | None:
        """The matter, None where all its facts are gone."""
        return self.picture.matters.get(self.matter_id)

    @property
    def licence(self) -> state_pb2.LicenceState | None:
        """The licence that the matter is."""
        return None if self.matter is None else self.matter.licence

    @property
    def worth(self) -> Worth:
        """What the licence was worth."""
        return worth_on(self.licence, self.day)

    def by_code(self, counter: int, days: int, *, skipped: int = 0) -> dict[str, int]:
        """Return code → sum of a counter over the days that end ``skipped`` days before this."""
        last = self.day - skipped
        sums: dict[str, int] = {}
        for (day, counted, code), amount in self.picture.sums.items():
            if counted == counter and last - days < day <= last:
                sums[code] = sums.get(code, 0) + amount
        return sums

    def feature(self, name: str) -> Any:
        """Return a feature by name; UnknownFeatureError for one the judge does not know."""
        if name in FEATURES:
            return FEATURES[name](self)
        windowed = _WINDOWED.fullmatch(name)
        if windowed is None or windowed["what"] not in _COUNTERS:
            raise UnknownFeatureError(name)
        return sum(self.by_code(_COUNTERS[windowed["what"]], int(windowed["days"])).values())


def _status(moment: Moment) -> str:
    status = "unknown"
    for fact in moment.picture.lists["registration_facts"]:
        leaves, leads = _MOVES[fact.kind]
        if fact.day <= moment.day and status in leaves:
            status = leads
    return status


def _weekly_mean(moment: Moment) -> float:
    before = moment.by_code(state_pb2.COUNTER_COMPLAINTS, 90, skipped=7)
    return sum(before.values()) * 7 / 90


def _same_violation(moment: Moment) -> int:
    by_code = moment.by_code(state_pb2.COUNTER_PENALTIES_BY_VIOLATION, 365)
    return max(by_code.values(), default=0)


def _course(name: str, empty: object) -> Callable[[Moment], Any]:
    return lambda m: empty if m.matter is None else getattr(m.matter.course, name)


def _result(name: str, empty: object) -> Callable[[Moment], Any]:
    def latest(moment: Moment) -> Any:
        results: Iterable[Any] = () if moment.matter is None else moment.matter.results
        known = [result for result in results if result.day <= moment.day]
        last = max(known, key=lambda r: (r.event_time_ms, r.slot_key), default=None)
        return empty if last is None else getattr(last, name)

    return latest


def _with_licence(
    ask: Callable[[list[state_pb2.LicenceState], state_pb2.LicenceState, int], bool],
) -> Callable[[Moment], bool]:
    def asked(moment: Moment) -> bool:
        licence = moment.licence
        return licence is not None and ask(moment.picture.licences, licence, moment.day)

    return asked


FEATURES: Mapping[str, Callable[[Moment], Any]] = MappingProxyType(
    {
        "registration_status": _status,
        "complaints_weekly_mean_prior_90d": _weekly_mean,
        "penalties_same_violation_365d": _same_violation,
        "matter.kind": _course("kind", ""),
        "matter.stage": _course("stage", ""),
        "matter.open": _course("open", empty=False),
        "matter.outcome": _course("outcome", ""),
        "matter.result": _result("result", ""),
        "matter.findings": _result("findings", 0),
        "matter.worst_severity": _result("worst_severity", ""),
        "matter.place_type": _result("place_type", ""),
        "licence.licence_type": lambda m: "" if m.licence is None else m.licence.licence_type,
        "licence.status": lambda m: m.worth.status,
        "licence.days_until_expiry": lambda m: m.worth.days_until_expiry,
        "licence.days_since_end": lambda m: m.worth.days_since_end,
        "licence.replaced": _with_licence(is_replaced),
        "licence.latest_of_type": _with_licence(is_latest),
    }
)
"""Name → how it is asked; windows of counters (`complaints_7d`) need no line."""
