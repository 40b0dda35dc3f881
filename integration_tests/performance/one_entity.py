"""One entity on one partition's real store, with its engine played by the caller.

The entity holds one licence, however long its history is: what rules look at of licences costs by
how many are held (their list is capped). The matters of a short history are spread over a year, so
that windows of rules have something to look at in both.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from market_supervision.control.v1.control_pb2 import ControlRecord

from services.contracts.bundles import build_bundle, read_files
from services.contracts.families import FamilyEvent
from services.lifecycle.step import LifecycleStep
from services.lifecycle.tests.fold_rig import example, prepared, zone_of
from services.lifecycle.tests.step_rig import TOPICS, StepRig
from services.streaming.interface import SourceRecord
from services.streaming.local_database import StoreOptions
from services.streaming.meta import Meta, encode
from services.streaming.store import PartitionStore, Position
from services.streaming.unit_store import UnitStore

MATTERS_A_DAY = 4
FEW_DAYS = 365
LAST_DAY = 0
UNIT = 250
ARMS = (
    ("complaints", "complaint_received"),
    ("inspections", "inspection_completed"),
    ("penalties", "penalty_decided"),
    ("complaints", "complaint_accepted"),
    ("inspections", "sample_taken"),
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
NO_META = encode(Meta())
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


class CountingStore(UnitStore):
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


class OnePartition:
    """One partition on a real store, with its engine played by the test."""

    def __init__(self, directory: Path) -> None:
        self.store = PartitionStore(directory, StoreOptions(4 << 20, 32 << 20), "cost/0")
        self._rig = StepRig()
        self._offset = 0
        self.restart()
        self.run(self._control(), Cost())

    def restart(self) -> None:
        """Forget what is kept in memory, as a restarted worker does."""
        self.step = LifecycleStep(TOPICS, zone_of, ("uscc",))

    def _control(self) -> list[SourceRecord]:
        record = ControlRecord(rule_bundle=build_bundle(read_files(), 1, _EPOCH))
        return [self._rig.record(TOPICS.control, b"c", record.SerializeToString(), -10_000)]

    def records(self, events: Sequence[FamilyEvent]) -> list[SourceRecord]:
        """The records an intake would write, appended on the last day."""
        return [self._rig.event_record(event, LAST_DAY) for event in events]

    def run(self, records: Sequence[SourceRecord], cost: Cost) -> None:
        """Do one unit of work as the engine does."""
        view = CountingStore(self.store, self.step.local_index, cost)
        output = self.step.run(records, view, records[0].append_time_ms)
        assert output.taken in {None, len(records)}
        assert not [side for side in output.side if side.topic == TOPICS.dead_letter]
        assert output.local is not None
        changelog = output.changelog.items()
        prepared_batch = self.store.prepare_known(changelog, output.local, NO_META)
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


def event_of(number: int, day: int, letter: str) -> FamilyEvent:
    """Return an event of its own matter on a day; the letter keeps numbers of uses apart."""
    return prepared(
        EXAMPLES[number % len(EXAMPLES)],
        record=f"{letter}{number}",
        matter=f"test/{letter}{number}",
        day=day,
    )


def entity_with(directory: Path, matters: int) -> OnePartition:
    """Return a partition with an entity of so many matters, restarted and warmed up.

    What the first events after a restart compile and read once is nobody's cost.
    """
    partition = OnePartition(directory)
    days = max(FEW_DAYS, matters // MATTERS_A_DAY)
    events = (event_of(n, LAST_DAY - days + n * days // matters, "h") for n in range(matters))
    licence = example("registration", "licence_granted")
    partition.run(partition.records([prepared(licence, record="l", day=LAST_DAY)]), Cost())
    while unit := [event for _, event in zip(range(UNIT), events, strict=False)]:
        partition.run(partition.records(unit), Cost())
    partition.restart()
    for number in range(len(ARMS)):
        partition.run(partition.records([event_of(number, LAST_DAY, "w")]), Cost())
    return partition
