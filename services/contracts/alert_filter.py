"""The one matcher of alert filters: for lists, watches, webhooks, console and command line.

AND across fields, OR within one, an empty field lets all pass. Pure.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter, AlertState, Phase, Severity

FILTER_VALUES_MAX: Mapping[str, int] = {
    "division_prefixes": 64,
    "industry_prefixes": 64,
    "severities": 16,
    "rule_ids": 64,
    "entity_keys": 256,
    "phases": 16,
    "states": 16,
}
"""How many values each field of a filter may name."""

FILTER_VALUE_CHARACTERS_MAX = 192
DIGEST_BYTES = 16

_ENUMS = {"severities": Severity, "phases": Phase, "states": AlertState}


@dataclass(frozen=True, slots=True)
class FilterProblem:
    """Why a filter cannot be used: field, value, reason in both languages."""

    field: str
    value: str
    reason_en: str
    reason_zh: str


def problems(alert_filter: AlertFilter) -> list[FilterProblem]:
    """Return what is wrong with a filter a client sent; empty when it can be used."""
    found: list[FilterProblem] = []
    for field, limit in FILTER_VALUES_MAX.items():
        values = list(getattr(alert_filter, field))
        if len(values) > limit:
            reasons = (f"at most {limit} values are allowed", f"最多允许 {limit} 个取值")
            found.append(FilterProblem(field, str(len(values)), *reasons))
        for index, value in enumerate(values[:limit]):
            complaint = _complaint(field, value)
            if complaint is not None:
                found.append(FilterProblem(f"{field}[{index}]", str(value)[:64], *complaint))
    return found


def _complaint(field: str, value: str | int) -> tuple[str, str] | None:
    if isinstance(value, int):
        known = _ENUMS[field].values()
        return None if value in known and value != 0 else ("not a value of the enum", "枚举值无效")
    if not 1 <= len(value) <= FILTER_VALUE_CHARACTERS_MAX:
        return (
            f"must have 1 to {FILTER_VALUE_CHARACTERS_MAX} characters",
            f"长度应为 1 至 {FILTER_VALUE_CHARACTERS_MAX} 个字符",
        )
    return None


def matcher(alert_filter: AlertFilter) -> Callable[[Alert], bool]:
    """Return a function that tells whether an alert passes the filter (订阅条件匹配)."""
    divisions = tuple(alert_filter.division_prefixes)
    industries = tuple(alert_filter.industry_prefixes)
    severities = frozenset(alert_filter.severities)
    rules = frozenset(alert_filter.rule_ids)
    entities = frozenset(alert_filter.entity_keys)
    phases = frozenset(alert_filter.phases)
    states = frozenset(alert_filter.states)

    def matches(alert: Alert) -> bool:
        return (
            (not severities or alert.severity in severities)
            and (not rules or alert.rule.rule_id in rules)
            and (not entities or alert.entity_key in entities)
            and (not phases or alert.phase in phases)
            and (not states or alert.state in states)
            and (not divisions or alert.division.code.startswith(divisions))
            and (not industries or alert.industry.code.startswith(industries))
        )

    return matches


def digest(alert_filter: AlertFilter) -> bytes:
    """Return 16 bytes that are equal exactly for filters that let the same alerts pass by form.

    The order of values and their repetition do not count; a cursor or page token carries the digest
    and is refused for another filter.
    """
    canonical = AlertFilter()
    for field in FILTER_VALUES_MAX:
        getattr(canonical, field).extend(sorted(set(getattr(alert_filter, field))))
    return hashlib.sha256(canonical.SerializeToString(deterministic=True)).digest()[:DIGEST_BYTES]
