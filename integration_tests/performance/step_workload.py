"""A fixed stretch of a synthetic city through the pure step: what the instruction count runs.

    python -m integration_tests.performance.step_workload PREPARED

PREPARED holds the state of one partition and the records that follow. The records are worked off in
units as the engine does: the step runs, and the local-only keys are derived for the store. The
first ones warm up: rules are compiled, modules imported. The rest is done inside one call of the C
function `COUNTED_WITHIN`, which nothing else here calls, so that callgrind can be told to count
there only. Prints the number of events counted, a digest of all that came out, and the processor
time it took (which means little under valgrind).
"""

import ctypes
import hashlib
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from services.contracts.families import FAMILIES
from services.lifecycle.civil_day import civil_day
from services.lifecycle.step import LifecycleStep, StepTopics
from services.lifecycle.tests.memory_store import MemoryStore
from services.streaming.interface import SideRecord, SourceRecord, UnitOutput

COUNTED_WITHIN = "ffi_call"
"""What every ctypes call goes through, and nothing else here: found by its name without debug
symbols."""
EVENTS = 2_000
UNIT_RECORDS = 250
WARM_UP_RECORDS = 100
SCHEMES = ("uscc", "regno", "unresolved")
TOPICS = StepTopics(
    families={family.topic: family for family in FAMILIES},
    control="control.v1",
    timeline="timeline.v1",
    alerts="alerts.v1",
    dead_letter="dead-letter.v1",
    links="links.v1",
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A partition as it stands, and what comes next."""

    committed: dict[bytes, bytes]
    local: dict[bytes, bytes]
    stream_time_ms: int
    records: tuple[SourceRecord, ...]
    """Warm-up first, then the records that are counted."""


class Worked:
    """One partition with its engine played by this program."""

    def __init__(self) -> None:
        day_of = civil_day(ZoneInfo("Asia/Shanghai"))
        self._step = LifecycleStep(TOPICS, lambda _entity_key: day_of, SCHEMES)
        self.store = MemoryStore(self._step.local_index)
        self.stream_time_ms = 0
        self._outputs: list[UnitOutput] = []

    def resume(self, prepared: Prepared) -> None:
        """Begin where a partition stands."""
        self.store.load(prepared.committed, prepared.local)
        self.stream_time_ms = prepared.stream_time_ms

    def work(self, records: Sequence[SourceRecord]) -> None:
        """Do units of work until all records are taken."""
        position = 0
        while position < len(records):
            unit = records[position : position + UNIT_RECORDS]
            output = self._step.run(unit, self.store, self.stream_time_ms)
            taken = unit if output.taken is None else unit[: output.taken]
            self.stream_time_ms = max([self.stream_time_ms, *(r.append_time_ms for r in taken)])
            self.store.committed.update(output.changelog)
            self.store.write_local(output.local or {})
            self._outputs.append(output)
            position += len(taken)

    def side(self, topic: str) -> list[SideRecord]:
        """Return what was written to a topic so far."""
        return [side for output in self._outputs for side in output.side if side.topic == topic]

    def digest(self) -> str:
        """SHA-256, hex, of everything that was written so far."""
        digest = hashlib.sha256()
        for output in self._outputs:
            for key in sorted(output.changelog):
                digest.update(key + output.changelog[key])
            for side in output.side:
                digest.update(side.topic.encode() + (side.key or b"") + side.value)
        return digest.hexdigest()


def _within_counted_function(work: Callable[[], None]) -> None:
    """Call ``work`` from C: as a callback, called through ctypes."""
    outcome: list[BaseException | None] = []

    def call_back() -> None:
        try:
            work()
            outcome.append(None)
        except BaseException as error:  # noqa: BLE001  raised again below: C lets nothing through
            outcome.append(error)

    ctypes.CFUNCTYPE(None)(call_back)()
    if outcome[0] is not None:
        raise outcome[0]


def main() -> None:
    """Warm up, work, print."""
    prepared: Prepared = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  our own file
    worked = Worked()
    worked.resume(prepared)
    worked.work(prepared.records[:WARM_UP_RECORDS])
    counted = prepared.records[WARM_UP_RECORDS:]
    begun = time.process_time()
    _within_counted_function(lambda: worked.work(counted))
    seconds = time.process_time() - begun
    events = sum(record.topic != TOPICS.control for record in counted)
    sys.stdout.write(f"{events} {worked.digest()} {seconds / events * 1e6:.1f}\n")


if __name__ == "__main__":
    main()
