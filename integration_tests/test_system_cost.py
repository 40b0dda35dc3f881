"""The cost of an event does not grow with the history of its entity, on the real local store.

Cost is counted, not timed, so that it is the same on any machine however busy: bytecodes executed
by the step and by what the engine does with its output (the interpreter's own trace of opcodes),
and bytes. What runs in C behind one bytecode is protobuf, whose work is proportional to the bytes
it parses and serialises, and RocksDB, whose work is a lookup for each key and each entry scanned:
so the bytes written to the changelog, and these with the bytes read from the store, which would
grow if any record grew with the history, are bounded as well.

Both entities hold one licence: what rules look at of licences costs by how many are held (their
list is capped), not by how long the history is. The few matters of the one are spread over a year,
so that windows of rules have something to look at in both.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from market_supervision.control.v1.control_pb2 import ControlRecord

from services.contracts.bundles import build_bundle, read_files
from services.contracts.families import FamilyEvent
from services.lifecycle.step import LifecycleStep
from services.lifecycle.tests.fold_bench import example, prepared, zone_of
from services.lifecycle.tests.step_bench import TOPICS, StepBench
from services.streaming.interface import SourceRecord
from services.streaming.store import PartitionStore, Position, StoreOptions
from services.streaming.unit_store import UnitStore

GROWTH_MAX = 1.5
FEW = 10
MANY = 3_000
VERY_MANY = 100_000
MATTERS_A_DAY = 4
FEW_DAYS = 365
LAST_DAY = 0
EVENTS = 25
UNIT = 250
ARMS = (
    ("complaints", "complaint_received"),
    ("inspections", "inspection_completed"),
    ("penalties", "penalty_decided"),
    ("complaints", "complaint_accepted"),
    ("inspections", "sample_taken"),
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EXAMPLES = [example(*arm) for arm in ARMS]


@dataclass(slots=True)
class Cost:
    """What some events cost."""

    opcodes: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def measures(self) -> dict[str, int]:
        """What must not grow."""
        return {
            "opcodes": self.opcodes,
            "changelog bytes": self.bytes_written,
            "bytes parsed or serialised": self.bytes_read + self.bytes_written,
        }


class _CountingStore(UnitStore):
    """A unit's store that counts what is read from it."""

    def __init__(self, store: PartitionStore, index: Any, cost: Cost) -> None:
        super().__init__(store, index)
        self._cost = cost

    def get(self, key: bytes) -> bytes | None:
        """See UnitStore.get."""
        value = super().get(key)
        self._cost.bytes_read += len(value or b"")
        return value

    def scan(self, *args: Any, **kwargs: Any) -> Iterator[tuple[bytes, bytes]]:
        """See UnitStore.scan."""
        for key, value in super().scan(*args, **kwargs):
            self._cost.bytes_read += len(key) + len(value)
            yield key, value


class _Partition:
    """One partition on a real store, with its engine played by the test."""

    def __init__(self, directory: Path) -> None:
        self.store = PartitionStore(directory, StoreOptions(4 << 20, 32 << 20), "cost/0")
        self._bench = StepBench()
        self._offset = 0
        self.restart()
        self.run(self._control(), Cost())

    def restart(self) -> None:
        """Forget what is kept in memory, as a restarted worker does."""
        self.step = LifecycleStep(TOPICS, zone_of, ("uscc",))

    def _control(self) -> list[SourceRecord]:
        record = ControlRecord(rule_bundle=build_bundle(read_files(), 1, _EPOCH))
        return [self._bench.record(TOPICS.control, b"c", record.SerializeToString(), -10_000)]

    def records(self, events: Sequence[FamilyEvent]) -> list[SourceRecord]:
        """The records an intake would write, appended on the last day."""
        return [self._bench.event_record(event, LAST_DAY) for event in events]

    def run(self, records: Sequence[SourceRecord], cost: Cost) -> None:
        """Do one unit of work as the engine does."""
        view = _CountingStore(self.store, self.step.local_index, cost)
        output = self.step.run(records, view, records[0].append_time_ms)
        assert output.taken in {None, len(records)}
        assert not [side for side in output.side if side.topic == TOPICS.dead_letter]
        prepared_batch = self.store.prepare(output.changelog.items(), self.step.local_index)
        self._offset += len(output.changelog)
        self.store.apply(prepared_batch, Position(self._offset, -1))
        cost.bytes_written += sum(len(k) + len(v) for k, v in output.changelog.items())

    def trace(self, records: Sequence[SourceRecord], cost: Cost) -> None:
        """Do one unit and count its opcodes."""

        def count(_frame: FrameType, what: str, _argument: Any) -> Any:
            cost.opcodes += what == "opcode"
            return count

        def enter(frame: FrameType, _what: str, _argument: Any) -> Any:
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return count

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            self.run(records, cost)
        finally:
            sys.settrace(before)


def _event(number: int, day: int, letter: str) -> FamilyEvent:
    return prepared(
        EXAMPLES[number % len(EXAMPLES)],
        record=f"{letter}{number}",
        matter=f"test/{letter}{number}",
        day=day,
    )


def _cost_an_event(directory: Path, matters: int) -> Cost:
    """Cost of events of today of an entity with so many matters, none of which they touch."""
    partition = _Partition(directory)
    try:
        days = max(FEW_DAYS, matters // MATTERS_A_DAY)
        events = (_event(n, LAST_DAY - days + n * days // matters, "h") for n in range(matters))
        licence = example("registration", "licence_granted")
        partition.run(partition.records([prepared(licence, record="l", day=LAST_DAY)]), Cost())
        while unit := [event for _, event in zip(range(UNIT), events, strict=False)]:
            partition.run(partition.records(unit), Cost())
        partition.restart()
        # What the first events after a restart compile and read once is not theirs.
        for number in range(len(ARMS)):
            partition.run(partition.records([_event(number, LAST_DAY, "w")]), Cost())
        cost = Cost()
        for number in range(EVENTS):
            partition.trace(partition.records([_event(number, LAST_DAY, "x")]), cost)
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
