"""One rule, ready to judge with. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.common.v1.localized_text_pb2 import LocalizedText
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.features.days import date_of
from services.lifecycle.rules.conditions import Condition
from services.lifecycle.rules.rows import RuleRow, Text
from services.lifecycle.rules.severity import level_of
from services.lifecycle.rules.texts import Labels, features_of, placeholders

DUE_PREFIX = "due."

_DAY_COUNTERS: Mapping[str, int] = MappingProxyType(
    {
        "complaints.complaint_received": state_pb2.COUNTER_COMPLAINTS,
        "complaints.report_received": state_pb2.COUNTER_REPORTS,
        "inspections.adverse_reaction_reported": state_pb2.COUNTER_ADVERSE_REACTIONS,
        "inspections.inspection_completed": state_pb2.COUNTER_INSPECTIONS,
        "penalties.case_filed": state_pb2.COUNTER_CASES_FILED,
        "penalties.penalty_decided": state_pb2.COUNTER_PENALTIES,
        "penalties.penalty_exempted": state_pb2.COUNTER_EXEMPTIONS,
        "registration.abnormal_operations_listed": state_pb2.COUNTER_ABNORMAL_LISTINGS,
    }
)
"""Event type → the counter that is more than 0 on exactly the days with such a fact. Days of other
types are found by COUNTER_FACTS, which marks the days with a fact of any type."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule row with everything that follows from it."""

    row: RuleRow
    condition: Condition
    resolved_when: Condition | None
    triggers: frozenset[str]
    """Event types and `due.<anchor>` that make the rule look."""
    day_counters: frozenset[int]
    """Counters that mark the days on which a fact could have triggered it."""
    shown: frozenset[str]
    """Features needed to describe an alert: those of the condition, the texts and the evidence."""
    axes: alert_pb2.SeverityAxes
    level: alert_pb2.Severity.ValueType
    labels: Labels

    @classmethod
    def of(cls, row: RuleRow) -> "CompiledRule":
        """Compile a checked row; ExpressionError for a condition or template that is wrong."""
        condition = Condition(row.condition)
        templates = (row.title.zh, row.title.en, row.reason.zh, row.reason.en)
        asked = frozenset().union(*(placeholders(template) for template in templates))
        codes = {item.code for item in row.evidence if item.code is not None}
        axes = alert_pb2.SeverityAxes(**row.severity.model_dump())
        return cls(
            row=row,
            condition=condition,
            resolved_when=Condition(row.resolved_when) if row.resolved_when else None,
            triggers=frozenset(row.triggers) | {DUE_PREFIX + due.anchor for due in row.due},
            day_counters=frozenset(
                _DAY_COUNTERS.get(trigger, state_pb2.COUNTER_FACTS) for trigger in row.triggers
            ),
            shown=condition.names | features_of(asked) | codes,
            axes=axes,
            level=level_of(axes),
            labels={
                feature: {value: text.model_dump() for value, text in labels.items()}
                for feature, labels in row.labels.items()
            },
        )

    @property
    def in_force(self) -> bool:
        """Whether events are judged by it. A retired rule raises nothing but still clears."""
        return self.row.state in ("active", "retired")

    def raises_on(self, day: int) -> bool:
        """Return whether the rule may raise an alert for what held at the end of ``day``."""
        on, row = date_of(day), self.row
        return (
            row.state == "active"
            and row.valid_from <= on
            and (row.valid_to is None or on <= row.valid_to)
        )

    def legal_basis(self) -> list[LocalizedText]:
        """Legal basis as it stands in an alert."""
        return [LocalizedText(zh=basis.zh, en=basis.en) for basis in self.row.legal_basis]


def localized(text: Text) -> LocalizedText:
    """Return a row's text as a message."""
    return LocalizedText(zh=text.zh, en=text.en)
