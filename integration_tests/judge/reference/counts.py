"""What each fact counts: one line an event type. Pure."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.reference.facts import Fact, coded, word

Count = tuple[int, str, int]
"""Counter, sub-code, amount."""


def _one(counter: int) -> Callable[[Any], Iterator[Count]]:
    return lambda _body: iter([(counter, "", 1)])


def _inspection(body: Any) -> Iterator[Count]:
    yield state_pb2.COUNTER_INSPECTIONS, "", 1
    result = word(body, "result")
    by_result = {
        "pass": state_pb2.COUNTER_INSPECTIONS_PASSED,
        "conditional": state_pb2.COUNTER_INSPECTIONS_CONDITIONAL,
        "fail": state_pb2.COUNTER_INSPECTIONS_FAILED,
    }
    if result in by_result:
        yield by_result[result], "", 1
    critical = sum(word(finding, "severity") == "critical" for finding in body.findings)
    if critical:
        yield state_pb2.COUNTER_CRITICAL_FINDINGS, "", critical
    seen = word(body, "operating_observation")
    if seen == "operating" or (not seen and result):
        yield state_pb2.COUNTER_ACTIVITY, "", 1


def _sample_tested(body: Any) -> Iterator[Count]:
    conclusion = word(body, "conclusion")
    if conclusion not in {"", "inconclusive"}:
        yield state_pb2.COUNTER_SAMPLES_TESTED, "", 1
    if conclusion == "fail":
        yield state_pb2.COUNTER_SAMPLES_FAILED, "", 1


def _reaction(body: Any) -> Iterator[Count]:
    yield state_pb2.COUNTER_ADVERSE_REACTIONS, "", 1
    enum = body.DESCRIPTOR.fields_by_name["severity"].enum_type
    if body.severity >= enum.values_by_name["ADVERSE_REACTION_SEVERITY_SERIOUS"].number:
        yield state_pb2.COUNTER_ADVERSE_REACTIONS_SERIOUS, "", 1


def _penalty(body: Any) -> Iterator[Count]:
    yield state_pb2.COUNTER_PENALTIES, "", 1
    yield state_pb2.COUNTER_PENALTIES_BY_VIOLATION, coded(body.violation), 1
    if body.fine_amount_fen:
        yield state_pb2.COUNTER_FINES_FEN, "", body.fine_amount_fen


COUNTS: Mapping[str, Callable[[Any], Iterator[Count]]] = MappingProxyType(
    {
        "complaint_received": _one(state_pb2.COUNTER_COMPLAINTS),
        "report_received": _one(state_pb2.COUNTER_REPORTS),
        "inspection_completed": _inspection,
        "sample_taken": _one(state_pb2.COUNTER_ACTIVITY),
        "sample_tested": _sample_tested,
        "adverse_reaction_reported": _reaction,
        "abnormal_operations_listed": _one(state_pb2.COUNTER_ABNORMAL_LISTINGS),
        "case_filed": _one(state_pb2.COUNTER_CASES_FILED),
        "penalty_decided": _penalty,
        "penalty_exempted": _one(state_pb2.COUNTER_EXEMPTIONS),
    }
)
"""Event type → what it counts besides itself; types not named here count as a fact only."""


def counts_of(fact: Fact) -> Iterator[Count]:
    """Yield everything one standing fact counts on its day."""
    yield state_pb2.COUNTER_FACTS, "", 1
    if fact.arm in COUNTS:
        yield from COUNTS[fact.arm](fact.body)
