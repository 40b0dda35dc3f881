"""The catalogue of faults: every row, and how it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.round import Plan
from integration_tests.nemesis.schedule import Strikes
from integration_tests.nemesis.stage import WORKERS


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what is done to the system, and what must hold whatever happens."""

    number: str
    title: str
    quick: Plan | None = None
    """One round of the fast set."""
    full: Plan | None = None
    """A round of the full set; None: the quick one."""
    tests: tuple[str, ...] = ()
    """Node ids of tests that show the row, or a part of it."""
    missing: str = ""
    """What of the row is not shown, and why."""

    @property
    def chaos(self) -> Plan | None:
        """The plan of the full set."""
        return self.full or self.quick


_ROWS = (
    Row(
        "T02",
        "kill -9 of stream workers at random moments, two workers",
        quick=Plan((Strikes("kill", WORKERS, 3, (1.5, 4.0)),)),
        full=Plan(
            (Strikes("kill", WORKERS, 20, (0.0, 6.0)),),
            load=LoadShape(events=6_000),
        ),
    ),
)

CATALOGUE: Mapping[str, Row] = {row.number: row for row in _ROWS}
