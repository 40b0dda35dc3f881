"""The tests that a row is bound to, run beside its round: a row is shown when both pass."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from integration_tests.nemesis.plan import Result
from services.local.environment import KAFKA_VARIABLE

ROOT = Path(__file__).resolve().parent.parent.parent
TESTS_SECONDS_MAX = 900.0
OUTCOMES = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)")
TAIL_CHARACTERS = 2_000


def run_tests(tests: Sequence[str], result: Result, bootstrap: str) -> None:
    """Run a row's tests on the broker of all rounds; what does not pass is a finding.

    A skipped test shows nothing and is a finding too, as is one that no longer exists.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *tests]
    try:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {KAFKA_VARIABLE: bootstrap},
            capture_output=True,
            text=True,
            timeout=TESTS_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        result.findings.append(f"the tests did not end within {TESTS_SECONDS_MAX} s")
        return
    outcomes = _outcomes(answer.stdout)
    result.tests = outcomes.pop("passed", 0)
    if answer.returncode != 0 or outcomes or result.tests < len(tests):
        tail = (answer.stdout + answer.stderr)[-TAIL_CHARACTERS:]
        result.findings.append(f"pytest ended with {answer.returncode}: {tail}")


def _outcomes(output: str) -> dict[str, int]:
    """Return how many tests came to which end, from the last line that counts them."""
    counting = [line for line in output.splitlines() if OUTCOMES.search(line)]
    return {name: int(count) for count, name in OUTCOMES.findall(counting[-1])} if counting else {}
