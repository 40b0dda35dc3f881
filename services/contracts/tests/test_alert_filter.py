"""The one matcher of alert filters."""

from collections.abc import Callable

import pytest
from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter, AlertState, Phase, Severity

from services.contracts.alert_filter import FILTER_VALUES_MAX, digest, matcher, problems


def _alert() -> Alert:
    alert = Alert(
        entity_key="uscc:91442000XX0000001A",
        severity=Severity.SEVERITY_RED,
        phase=Phase.PHASE_WARN,
        state=AlertState.ALERT_STATE_OPEN,
    )
    alert.rule.rule_id = "burst"
    alert.division.code = "442000101"
    alert.industry.code = "F5212"
    return alert


PASSING: dict[str, list[object]] = {
    "division_prefixes": ["11", "4420"],
    "industry_prefixes": ["F52"],
    "severities": [Severity.SEVERITY_BLUE, Severity.SEVERITY_RED],
    "rule_ids": ["burst"],
    "entity_keys": ["uscc:91442000XX0000001A"],
    "phases": [Phase.PHASE_WARN],
    "states": [AlertState.ALERT_STATE_OPEN],
}
FAILING: dict[str, list[object]] = {
    "division_prefixes": ["4420001010"],
    "industry_prefixes": ["52"],
    "severities": [Severity.SEVERITY_BLUE],
    "rule_ids": ["burs"],
    "entity_keys": ["uscc:91442000XX0000001"],
    "phases": [Phase.PHASE_REMEDY],
    "states": [AlertState.ALERT_STATE_CLOSED],
}


def test_samples_cover_every_field_of_the_filter() -> None:
    """A field added to the filter must be matched, limited and tested."""
    fields = {field.name for field in AlertFilter.DESCRIPTOR.fields}

    assert fields == set(PASSING) == set(FAILING) == set(FILTER_VALUES_MAX)


def test_matches_with_an_empty_filter_lets_all_pass() -> None:
    """No condition, no exclusion."""
    assert matcher(AlertFilter())(_alert())
    assert matcher(AlertFilter())(Alert())


@pytest.mark.parametrize("field", sorted(PASSING))
def test_matches_by_one_field_takes_any_of_its_values(field: str) -> None:
    """Within a field one matching value is enough, and one is needed."""
    assert matcher(AlertFilter(**{field: PASSING[field]}))(_alert())  # type: ignore[arg-type]
    assert not matcher(AlertFilter(**{field: FAILING[field]}))(_alert())  # type: ignore[arg-type]


@pytest.mark.parametrize("field", sorted(PASSING))
def test_matches_across_fields_needs_all(field: str) -> None:
    """One failing field excludes the alert although all others match."""
    everything = AlertFilter(**PASSING)  # type: ignore[arg-type]
    assert matcher(everything)(_alert())

    everything.ClearField(field)  # type: ignore[arg-type]
    everything.MergeFrom(AlertFilter(**{field: FAILING[field]}))  # type: ignore[arg-type]
    assert not matcher(everything)(_alert())


def test_digest_ignores_order_and_repetition_but_no_value() -> None:
    """Filters that say the same have one digest; any other filter has another."""
    one = AlertFilter(rule_ids=["a", "b"], severities=[Severity.SEVERITY_RED])
    same = AlertFilter(rule_ids=["b", "a", "b"], severities=[Severity.SEVERITY_RED])
    other = AlertFilter(rule_ids=["a"], severities=[Severity.SEVERITY_RED])

    assert digest(one) == digest(same)
    assert digest(one) != digest(other)
    assert digest(AlertFilter(rule_ids=["x"])) != digest(AlertFilter(entity_keys=["x"]))


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: AlertFilter(rule_ids=[str(n) for n in range(65)]), "rule_ids"),
        (lambda: AlertFilter(rule_ids=["ok", ""]), "rule_ids[1]"),
        (lambda: AlertFilter(entity_keys=["x" * 193]), "entity_keys[0]"),
        (lambda: AlertFilter(severities=[99]), "severities[0]"),  # type: ignore[list-item]
        (lambda: AlertFilter(states=[AlertState.ALERT_STATE_UNSPECIFIED]), "states[0]"),
    ],
)
def test_problems_of_a_bad_filter_name_the_field(
    build: Callable[[], AlertFilter], field: str
) -> None:
    """A filter beyond its limits is refused with field and reason in both languages."""
    (found,) = problems(build())

    assert found.field == field
    assert found.reason_en
    assert found.reason_zh


def test_problems_of_a_good_filter_are_none() -> None:
    """What the contract allows passes."""
    assert problems(AlertFilter(**PASSING)) == []  # type: ignore[arg-type]
