"""The judge catches ten bugs put in by hand, and finds nothing wrong where none is."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from integration_tests.judge.verdict import Verdict
from integration_tests.planted_bugs.bugs import (
    BUGS,
    CONTROLS,
    EXPECTED_ANYWAY,
    FAULTS,
    Bug,
    Scenario,
)
from integration_tests.planted_bugs.scene import Scene
from services.contracts.topics import TOPIC_PREFIX_VARIABLE


@dataclass
class Tally:
    """Which bugs were tried and caught."""

    tried: int = 0
    caught: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Say at the end how many were caught, on the terminal, whatever is captured."""
    found = Tally()
    yield found
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    if capture is not None and reporter is not None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{len(found.caught)} of {found.tried} caught")


@dataclass
class Rehearsal:
    """Runs a scenario on topics of its own."""

    bootstrap: str
    redis_url: str
    directory: Path
    monkeypatch: pytest.MonkeyPatch

    def run(self, scenario: Scenario, patches: dict[str, str]) -> Verdict:
        """Return the verdict over one run of a scenario."""
        prefix = f"bug-{os.getpid()}-{uuid.uuid4().hex[:6]}."
        self.monkeypatch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        patched = {**FAULTS.get(scenario, {}), **patches}
        directory = self.directory / "scene"
        with Scene(self.bootstrap, self.redis_url, directory, prefix, patched) as scene:
            return scenario(scene)


@pytest.fixture
def rehearsal(
    kafka_bootstrap: str, redis_url: str, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Rehearsal:
    """Servers for one scenario."""
    return Rehearsal(kafka_bootstrap, redis_url, run_directory, monkeypatch)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.patch)
def test_judge_catches_the_bug_by_the_right_check(
    bug: Bug, rehearsal: Rehearsal, tally: Tally
) -> None:
    """Each check that a bug violates reports it, in the words for what the bug does."""
    tally.tried += 1
    verdict = rehearsal.run(bug.scenario, {bug.child: bug.patch})
    silent = [
        (check, words)
        for check, words in bug.findings
        if not any(words in finding.text for finding in verdict.found_by(check))
    ]
    assert not silent, f"{silent} did not report {bug.patch}\n{verdict}"
    tally.caught.append(bug.patch)


@pytest.mark.parametrize("scenario", CONTROLS, ids=lambda scenario: scenario.__name__)
def test_judge_finds_nothing_wrong_without_the_bug(
    scenario: Scenario, rehearsal: Rehearsal
) -> None:
    """The same run without a bug passes every check that is made."""
    verdict = rehearsal.run(scenario, {})
    expected = EXPECTED_ANYWAY.get(scenario, frozenset())
    wrong = [finding for finding in verdict.findings if finding.check not in expected]
    assert not wrong, str(verdict)
    made = {check for check, outcome in verdict.checks.items() if not outcome.startswith("not")}
    assert {"O1", "O2", "O3", "O3b", "O4", "O9"} <= made
