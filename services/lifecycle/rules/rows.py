"""The form of a rule row, as officials write it in YAML (规则行). Pure.

Nothing is coerced and nothing unknown is passed over: a mistyped key is an error, not a default.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.lifecycle.features.windows import WINDOW_DAYS_MAX

MAX_AGE_DAYS_MAX = 36_500
"""A rule that looks back a hundred years looks back over everything."""

NonEmpty = Annotated[str, StringConstraints(min_length=1, max_length=500)]
EventName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$")]
Axis = Annotated[int, Field(ge=1, le=4)]


class Row(BaseModel):
    """Base of everything in a rule row."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Text(Row):
    """A text in both working languages."""

    zh: NonEmpty
    en: NonEmpty


class Due(Row):
    """A date at which the rule looks again without any event (到期触发)."""

    anchor: Literal["licence_to_day", "matter_due_day"]
    offset_days: Annotated[int, Field(ge=-3_660, le=3_660)]


class SeverityAxes(Row):
    """Four axes of 1 (low) to 4 (high)."""

    probability: Axis
    urgency: Axis
    harm: Axis
    social_impact: Axis


class LegalBasis(Row):
    """An article, and whether its text was read or is cited from memory."""

    zh: NonEmpty
    en: NonEmpty
    source: Literal["read", "recalled"]


class Evidence(Row):
    """One kind of fact to cite (证据要求)."""

    event: EventName
    within_days: Annotated[int, Field(ge=1, le=WINDOW_DAYS_MAX)] | None = None
    """How far back from the day of the alert; None: the rule's window."""
    own_matter: bool = False
    """Only facts of the matter or licence under examination, however old."""
    code: str | None = None
    """Feature that names the code a fact must carry."""


class Example(Row):
    """A worked example: features, and whether the condition holds of them."""

    name: NonEmpty
    given: dict[str, Any]
    expect: bool


class RuleRow(Row):
    """One rule (预警规则)."""

    id: Annotated[str, StringConstraints(pattern=r"^R[0-9]{2,3}(-[a-z0-9]+)+$", max_length=64)]
    version: Annotated[int, Field(ge=1)]
    title: Text
    state: Literal["draft", "shadow", "active", "retired"]
    valid_from: date
    valid_to: date | None = None
    scope: Literal["ENTITY", "MATTER", "LICENCE"]
    triggers: Annotated[list[EventName], Field(min_length=1, max_length=32)]
    due: Annotated[list[Due], Field(max_length=8)] = []
    condition: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    resolved_when: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None
    window_days: Annotated[int, Field(ge=1, le=WINDOW_DAYS_MAX)]
    max_age_days: Annotated[int, Field(ge=0, le=MAX_AGE_DAYS_MAX)]
    episode: Annotated[
        str,
        StringConstraints(pattern=r"^(month|year|matter|matter_and_date:licence_(to|end)_day)$"),
    ]
    severity: SeverityAxes
    phase: Literal["PREVENT", "WARN", "REMEDY"]
    legal_basis: Annotated[list[LegalBasis], Field(min_length=1, max_length=8)]
    reason: Text
    owner: NonEmpty
    acknowledge_within_working_days: Annotated[int, Field(ge=1, le=60)]
    evidence: Annotated[list[Evidence], Field(min_length=1, max_length=16)]
    labels: dict[str, dict[str, Text]] = {}
    examples: Annotated[list[Example], Field(min_length=2, max_length=32)]
