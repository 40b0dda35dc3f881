"""What a row of the catalogue is: faults under load, an experiment, or tests elsewhere."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.schedule import Strikes
from integration_tests.nemesis.stage import WORKERS

Say = Callable[[str], object]


@dataclass(slots=True)
class Result:
    """What a round came to: one line of the results."""

    row: str
    seed: int
    date: str = ""
    """Day of the round, in UTC."""
    commit: str = ""
    """What was run; a plus sign for what was not committed."""
    quick: bool = False
    """Whether it was the short round of the fast set."""
    ok: bool = False
    events: int = 0
    lost: int = 0
    doubled: int = 0
    alerts: int = 0
    seconds: float = 0.0
    content: str = ""
    """Digest of what was submitted; empty of an experiment."""
    digest_before: str = ""
    digest_after: str = ""
    acts: list[str] = field(default_factory=list)
    exits: dict[str, int] = field(default_factory=dict)
    """Service and exit code → how often."""
    answers: dict[str, int] = field(default_factory=dict)
    """Who was told which code → how often."""
    connections: int = 0
    """How often subscribers connected."""
    counts: dict[str, int] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    """Check of the judge → `passed`, the number of its findings, or why it was not made."""
    tests: int = 0
    """How many tests bound to the row passed."""
    findings: list[str] = field(default_factory=list)
    kept: str = ""
    """Run directory of a failed round."""

    def line(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """A round of faults under load."""

    strikes: tuple[Strikes, ...]
    """Under load."""
    disaster: tuple[Strikes, ...] = ()
    """At rest, after a first look at the digest: digest and alerts after it must be the same."""
    load: LoadShape = field(default_factory=LoadShape)
    own_broker: bool = False
    """The broker itself is struck."""
    three_nodes: bool = False
    """The round has a cluster of three nodes of its own instead of the broker of all rounds."""
    deaths: Mapping[str, int] = field(default_factory=dict)
    """Worker → how often it dies at exact points of its units (`die_at`)."""
    full_disks: Mapping[str, int] = field(default_factory=dict)
    """Service → in how many of its lives its disk is full (`full_disk`)."""
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Child name → module with arguments that meddles with the service before it runs."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further environment of every service."""
    workers: tuple[str, ...] = WORKERS
    worker_exits: frozenset[int] = frozenset()
    """Exit codes of workers that are no finding in this row."""
    dead_letters: int | None = None
    """How many dead letters there must be, where the row knows."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where an experiment takes place."""

    seed: int
    bootstrap: str
    directory: Path
    say: Say


@dataclass(frozen=True, slots=True)
class Experiment:
    """A round that is no load with faults: a program of its own that fills in the result."""

    run: Callable[[Setting, Result], None]
    own_broker: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what is done to the system; nothing may be lost or doubled whatever happens."""

    number: str
    title: str
    quick: Plan | Experiment | None = None
    """One round of the fast set."""
    full: Plan | Experiment | None = None
    """A round of the full set; None: the quick one."""
    tests: tuple[str, ...] = ()
    """Node ids of tests that show the row, or a part of it; run with it."""
    missing: str = ""
    """What of the row is not shown, and why."""

    @property
    def chaos(self) -> Plan | Experiment | None:
        """The round of the full set."""
        return self.full or self.quick
