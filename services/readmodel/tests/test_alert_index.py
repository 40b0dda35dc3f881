"""Which indexes an alert is in, and which answer a filter."""

from hypothesis import given
from hypothesis import strategies as st
from market_supervision.alerts.v1.alert_pb2 import Alert, AlertFilter, AlertState, Phase, Severity

from services.contracts.alert_filter import matcher
from services.readmodel import alert_index

CODES = st.text(alphabet="0123456789", max_size=12)
RULES = st.sampled_from(["a", "b", "c"])
ENTITIES = st.sampled_from(["uscc:1", "uscc:2"])


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """Return an alert whose fields collide often with those of filters."""
    made = Alert(
        alert_id=draw(st.binary(min_size=16, max_size=16)).hex(),
        entity_key=draw(ENTITIES),
        severity=draw(st.sampled_from(Severity.values()[1:])),
        phase=draw(st.sampled_from(Phase.values()[1:])),
        state=draw(st.sampled_from(AlertState.values()[1:])),
    )
    made.rule.rule_id = draw(RULES)
    made.division.code = draw(CODES)
    made.industry.code = draw(st.sampled_from(["", "F", "F52", "F5212"]))
    made.raised_time.FromMilliseconds(draw(st.integers(0, 2_000_000_000_000)))
    return made


FILTERS = st.builds(
    AlertFilter,
    division_prefixes=st.lists(CODES, max_size=2),
    industry_prefixes=st.lists(st.sampled_from(["F", "F5", "F521"]), max_size=2),
    severities=st.lists(st.sampled_from([1, 2, 3, 4]), max_size=2),
    rule_ids=st.lists(RULES, max_size=2),
    entity_keys=st.lists(ENTITIES, max_size=2),
    phases=st.lists(st.sampled_from([1, 2, 3]), max_size=1),
    states=st.lists(st.sampled_from([1, 2]), max_size=1),
)


@given(alert=alerts(), alert_filter=FILTERS, data=st.data())
def test_every_way_to_answer_a_filter_finds_all_that_match(
    alert: Alert, alert_filter: AlertFilter, data: st.DataObject
) -> None:
    """An index may yield too much, never too little: else a list would hide alerts."""
    if alert.division.code and data.draw(st.booleans()):
        alert_filter.division_prefixes.append(
            alert.division.code[: data.draw(st.integers(1, len(alert.division.code)))]
        )
    names = {term.index_name for term in alert_index.terms(alert)}
    if matcher(alert_filter)(alert):
        for way in alert_index.drivers(alert_filter):
            assert names & set(way)


@given(one=alerts(), other=alerts())
def test_members_are_in_order_of_raising(one: Alert, other: Alert) -> None:
    """Every index lists alerts by raising time, so that several can be merged."""
    if one.raised_time.ToMilliseconds() < other.raised_time.ToMilliseconds():
        assert alert_index.member(one) < alert_index.member(other)
    assert alert_index.alert_id_of(alert_index.member(one)) == one.alert_id
