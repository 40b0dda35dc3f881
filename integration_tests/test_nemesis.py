"""One seeded round of each row of the fast set; all rows and more rounds: `make chaos`.

The seed is fixed, so that everybody's run strikes the same blows; NEMESIS_SEED sets another.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.nemesis.catalogue import CATALOGUE
from integration_tests.nemesis.plan import Result
from integration_tests.nemesis.round import run_round
from services.local.kafka import LocalKafka

SEED = int(os.environ.get("NEMESIS_SEED", "7"))
FAST = [number for number, row in CATALOGUE.items() if row.quick is not None]


@pytest.fixture(scope="module")
def mortal_kafka(session_directory: Path) -> Iterator[LocalKafka]:
    """Run a broker that rounds may kill; it is there again after each."""
    with LocalKafka(session_directory / "mortal-kafka") as kafka:
        yield kafka


@pytest.mark.parametrize("number", FAST)
def test_round_of_faults_loses_and_doubles_nothing(
    number: str, request: pytest.FixtureRequest, session_directory: Path
) -> None:
    """The judge finds nothing wrong after the faults of the row."""
    plan = CATALOGUE[number].quick
    assert plan is not None
    broker: LocalKafka | str = request.getfixturevalue(
        "mortal_kafka" if plan.own_broker else "kafka_bootstrap"
    )
    said: list[str] = []
    say: Callable[[str], object] = said.append
    directory = session_directory.parent.parent / "nemesis" / f"{number}-{SEED}-{os.getpid()}"
    result = run_round(number, SEED, plan, broker=broker, directory=directory, say=say)
    assert result.ok, _explanation(result, said)


def _explanation(result: Result, said: list[str]) -> str:
    again = f'make chaos ARGS="--quick --rows {result.row} --seed {result.seed}"'
    lines = [f"{result.row} with seed {result.seed}; kept in {result.kept}; again: {again}"]
    return "\n".join([*lines, *said, *result.findings[:20], result.line()])
