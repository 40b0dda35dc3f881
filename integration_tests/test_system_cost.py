"""The cost of an event does not grow with the history of its entity, on the real local store.

Cost is counted, not timed, so that it is the same on any machine however busy: bytecodes executed
by the step and by what the engine does with its output (the interpreter's own trace of opcodes),
and bytes. What runs in C behind one bytecode is protobuf, whose work is proportional to the bytes
it parses and serialises, and RocksDB, whose work is a lookup for each key and each entry scanned:
so the bytes written to the changelog, and these with the bytes read from the store, which would
grow if any record grew with the history, are bounded as well.
"""

import sys
from pathlib import Path

import pytest

from integration_tests.performance.one_entity import LAST_DAY, Cost, entity_with, event_of

GROWTH_MAX = 1.5
FEW = 10
MANY = 3_000
VERY_MANY = 100_000
EVENTS = 25


def _cost_an_event(directory: Path, matters: int) -> Cost:
    """Cost of events of today of an entity with so many matters, none of which they touch."""
    partition = entity_with(directory, matters)
    try:
        cost = Cost()
        for number in range(EVENTS):
            partition.trace(partition.records([event_of(number, LAST_DAY, "x")]), cost)
        return cost
    finally:
        partition.store.close()


def _assert_bounded(directory: Path, matters: int) -> None:
    few = _cost_an_event(directory / "few", FEW)
    many = _cost_an_event(directory / "many", matters)
    sys.stdout.write(f"{FEW} matters: {few}\n{matters} matters: {many}\n")
    assert few.opcodes > EVENTS * 1_000, "nothing was counted"
    grown = many.measures()
    for name, cost in few.measures().items():
        assert grown[name] <= GROWTH_MAX * cost, f"{name}: {cost} grew to {grown[name]}"


def test_cost_of_an_event_is_bounded(tmp_path: Path) -> None:
    """An entity with thousands of matters costs per event at most 1.5 times one with ten."""
    _assert_bounded(tmp_path, MANY)


@pytest.mark.benchmark
@pytest.mark.timeout(1_800)
def test_cost_of_an_event_of_the_largest_entity_is_bounded(tmp_path: Path) -> None:
    """The same for 100,000 matters, some seventy years of four a day."""
    _assert_bounded(tmp_path, VERY_MANY)
