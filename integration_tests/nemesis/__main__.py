"""Run the catalogue: `make chaos ARGS="--rows T02,T08 --seed 7 --rounds 1 --resume"`."""

import argparse
import logging
import random
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from integration_tests.nemesis.bound_tests import run_tests
from integration_tests.nemesis.catalogue import CATALOGUE
from integration_tests.nemesis.plan import Result, Row
from integration_tests.nemesis.report import (
    other_view,
    passed_already,
    read_results,
    table,
    write_page,
)
from integration_tests.nemesis.round import run_round
from integration_tests.nemesis.stage import SERVER_SECONDS
from integration_tests.performance.machine import commit
from services.local.errors import AlreadyRunningError
from services.local.kafka import LocalKafka
from services.local.run_directory import owned_run_directory, remove_abandoned
from services.runtime import clock

HOME = Path(".run/chaos")
BROKERS, ROUNDS = HOME / "brokers", HOME / "rounds"
RESULTS = HOME / "results.jsonl"
ROUNDS_MAX = 3


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--rows", default=",".join(CATALOGUE), help="such as T02,T08")
    parser.add_argument("--seed", type=int, help="of the first round; drawn when left out")
    parser.add_argument("--rounds", type=int, default=1, choices=range(1, ROUNDS_MAX + 1))
    parser.add_argument(
        "--resume", action="store_true", help="leave out rows passed at this commit"
    )
    parser.add_argument("--quick", action="store_true", help="the rounds of the fast set")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--no-page", action="store_true", help="leave the page of results alone")
    return parser.parse_args()


def main() -> int:
    """Run the rows; return 0 when every round passed."""
    given = arguments()
    for name in ("aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    rows = [CATALOGUE[name.strip()] for name in given.rows.split(",")]
    if given.resume:
        done = passed_already(given.results, commit(), quick=given.quick)
        rows = [row for row in rows if row.number not in done]
    say(f"seed {seed}; rows {', '.join(row.number for row in rows)}")
    remove_abandoned_runs()
    rows = [row for row in rows if row.chaos or row.tests]
    if not rows:
        say("nothing to run: no such row can be shown, or all of them passed")
        return 0 if given.resume else 2
    results: list[Result] = []
    with ExitStack() as stack:
        directory = BROKERS / uuid.uuid4().hex[:8]
        stack.enter_context(owned_run_directory(directory))
        broker = LocalKafka(directory / "kafka")
        stack.callback(broker.stop)
        broker.start(SERVER_SECONDS)
        for row in rows:
            for number in range(given.rounds):
                # Tests have no seed: they are run once.
                tests = row.tests if number == 0 else ()
                if row.chaos is None and not tests:
                    continue
                result = _round(row, seed + number, broker, tests, quick=given.quick)
                if differing := other_view(result, read_results(given.results)):
                    result.findings.append(differing)
                result.commit, result.quick = commit(), given.quick
                _tell(result)
                results.append(result)
                with given.results.open("a", encoding="utf-8") as file:
                    file.write(result.line() + "\n")
    say(table(results))
    if not given.no_page:
        write_page(given.results)
    return 0 if all(result.ok for result in results) else 1


def _round(row: Row, seed: int, broker: LocalKafka, tests: Sequence[str], *, quick: bool) -> Result:
    """Run a round of a row, if it has any, and the tests it is bound to."""
    plan = row.quick if quick and row.quick is not None else row.chaos
    say(f"{row.number} seed {seed}: {row.title}")
    if plan is None:
        result = Result(row.number, seed, clock.utc_now().date().isoformat())
    else:
        # Let go at the end of a round, it may still count itself dead for a moment.
        broker.wait_ready(SERVER_SECONDS)
        directory = ROUNDS / f"{row.number}-{seed}-{uuid.uuid4().hex[:6]}"
        result = run_round(row.number, seed, plan, broker=broker, directory=directory, say=say)
    if tests:
        began = time.monotonic()
        run_tests(tests, result, broker.bootstrap_servers)
        result.seconds = round(result.seconds + time.monotonic() - began, 1)
        say(f"  {result.tests} tests passed")
    return result


def _tell(result: Result) -> None:
    result.ok = not result.findings
    say(f"  {'passed' if result.ok else 'FAILED'} in {result.seconds} s, exits {result.exits}")
    if not result.ok:
        for finding in result.findings[:20]:
            say(f"    {finding}")
        say(f"    kept: {result.kept}")
        say(f'    again: make chaos ARGS="--rows {result.row} --seed {result.seed}"')


def remove_abandoned_runs() -> None:
    """End what earlier runs left running; what failed rounds kept stays."""
    BROKERS.mkdir(parents=True, exist_ok=True)
    remove_abandoned(BROKERS)
    for path in ROUNDS.glob("*/"):
        with suppress(AlreadyRunningError), owned_run_directory(path):
            pass


if __name__ == "__main__":
    sys.exit(main())
