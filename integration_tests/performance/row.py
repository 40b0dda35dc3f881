"""One row of the benchmark: two things measured in pairs, and the ratio between them.

Ratio: ours ÷ baseline, the median of the pairs' ratios; low and high are the smallest and the
largest of them (with three pairs a bootstrap would only pretend to know more). Pairs alternate
(ours first, baseline first, ...), so that a machine that slows down favours neither.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from integration_tests.performance.foreign_load import LoadDuring
from integration_tests.performance.session import Session

PAIRS = 3
FOREIGN = "foreign"
"""Detail of a figure: the share of a processor that others took while it was measured. A figure
that comes from an earlier run tells that of its own time."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: the value that enters the ratio, and what else is worth keeping."""

    value: float
    details: Mapping[str, float | str] = field(default_factory=dict)


Measure = Callable[[Session], Figure]


class Verdict(StrEnum):
    """How a row stands against what the specification asks."""

    GOAL = "goal met"
    MUST = "must met"
    MISSED = "MISSED"
    SHOWN = "shown"
    """Nothing is asked of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what is measured against what, in which unit, and what is asked of the ratio."""

    name: str
    ours: str
    baseline: str
    unit: str
    measure: Measure
    measure_baseline: Measure
    must: float | None = None
    goal: float | None = None
    lower_is_better: bool = False
    pairs: int = PAIRS
    by_default: bool = True
    """Whether it is part of a run without further arguments."""
    prepare: Callable[[Session], None] | None = None
    """Writes what a long row measures with; needs no quiet machine. Only long rows have it: their
    data is kept until they are measured."""
    minutes: float = 3.0
    """How long it takes on two quiet processors, prepared, about."""
    disk_gib: int = 2
    """Room it needs on disk."""
    note: str = ""
    """What the table says with the name, where the name alone promises more than is measured."""
    beside: tuple[str, ...] = ()
    """Details that the page shows beside the ratio, because the ratio alone would flatter."""

    @property
    def is_long(self) -> bool:
        """Whether it goes on from what earlier runs have made."""
        return self.prepare is not None

    def verdict(self, ratio: float) -> Verdict:
        """Judge a ratio."""
        if self.must is None:
            return Verdict.SHOWN
        if self._reaches(ratio, self.goal):
            return Verdict.GOAL
        return Verdict.MUST if self._reaches(ratio, self.must) else Verdict.MISSED

    def _reaches(self, ratio: float, wanted: float | None) -> bool:
        if wanted is None:
            return False
        return ratio <= wanted if self.lower_is_better else ratio >= wanted


@dataclass(frozen=True, slots=True)
class Summary:
    """A row's ratio over its pairs."""

    ratio: float
    low: float
    high: float
    pairs: tuple[tuple[Figure, Figure], ...]


def run_pairs(row: Row, session: Session) -> Summary:
    """Measure a row's pairs, alternating which comes first."""
    pairs = []
    for number in range(1 if session.part > 1 else row.pairs):
        if number % 2 == 0:
            ours = _watched(row.measure, session)
            baseline = _watched(row.measure_baseline, session)
        else:
            baseline = _watched(row.measure_baseline, session)
            ours = _watched(row.measure, session)
        pairs.append((ours, baseline))
    return summarise(pairs)


def _watched(measure: Measure, session: Session) -> Figure:
    with LoadDuring() as during:
        figure = measure(session)
    return replace(figure, details={FOREIGN: during.mean, **figure.details})


def summarise(pairs: Sequence[tuple[Figure, Figure]]) -> Summary:
    """Return the median of the pairs' ratios, and the smallest and the largest."""
    ratios = [ours.value / baseline.value for ours, baseline in pairs]
    return Summary(statistics.median(ratios), min(ratios), max(ratios), tuple(pairs))


def document(row: Row, summary: Summary) -> dict[str, Any]:
    """Return what latest.json keeps of a row, without when and where it was measured."""
    return {
        "name": row.name,
        "ours": row.ours,
        "baseline": row.baseline,
        "unit": row.unit,
        "ratio": round(summary.ratio, 3),
        "low": round(summary.low, 3),
        "high": round(summary.high, 3),
        "must": row.must,
        "goal": row.goal,
        "lower_is_better": row.lower_is_better,
        "verdict": row.verdict(summary.ratio).value,
        "note": row.note,
        "beside": list(row.beside),
        "pairs": [
            {"ours": _figure(ours), "baseline": _figure(baseline)}
            for ours, baseline in summary.pairs
        ],
    }


def _figure(figure: Figure) -> dict[str, float | str]:
    details = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in figure.details.items()
    }
    return {"value": round(figure.value, 3), **details}
