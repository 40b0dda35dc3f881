"""The step of a partition, and what is kept of its tries.

Before every try it is noted on which records, so that a process that dies in it leaves behind what
killed it (see `attempts`). Whatever the step raises ends the process (`EngineError`), but for what
the local store says of a failing disk, which speaks against no record.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.runtime.clock import now_ms
from services.runtime.logging import get_logger
from services.streaming.attempts import DEATHS_MAX, AttemptJournal, Suspicion
from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import PartitionStep, SourceRecord, UnitOutput
from services.streaming.local_database import StoreFailedError
from services.streaming.meta import META_KEY, Meta
from services.streaming.store import PartitionStore, Prepared
from services.streaming.unit_of_work import check_output
from services.streaming.unit_store import UnitStore

log = get_logger(__name__)


class Phases:
    """Seconds that a unit spent in each phase."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Note what the block takes."""
        began = time.monotonic()
        yield
        self.spent[phase] = time.monotonic() - began


class TriedStep:
    """One partition's step. A process may die in any of its calls, or be killed."""

    def __init__(
        self,
        number: int,
        step: PartitionStep,
        store: PartitionStore,
        journal: AttemptJournal,
        record_bytes_max: int,
    ) -> None:
        self.phases = Phases()
        self._number = number
        self._step = step
        self._store = store
        self._journal = journal
        self._record_bytes_max = record_bytes_max
        self._suspicion = Suspicion(None, {})

    def recall(self, meta: Meta) -> None:
        """Read what the process before left behind, once the state is restored."""
        left = self._journal.left()
        self._suspicion = Suspicion(left, meta.applied)
        if self._suspicion.suspects:
            log.warning("died_in_step", partition=self._number, left=str(left))

    def limit(self, records: int) -> int:
        """Return how many records the next unit may take, of at most ``records``."""
        return self._suspicion.limit(records)

    def passed(self, records: Sequence[SourceRecord]) -> None:
        """Forget the suspicion against records that a committed unit took."""
        self._suspicion.passed(records)

    def committed(self) -> None:
        """Forget the try of a unit: it is in the local store."""
        if self._suspicion.suspects:  # one of them may have been put aside just now
            self._journal.succeed()

    def run(
        self, records: Sequence[SourceRecord], view: UnitStore, stream_time_ms: int
    ) -> tuple[UnitOutput, int]:
        """Return what the step makes of ``records``, and the bytes of it; checked.

        A record that killed too many processes is put aside instead.
        """
        first, last = records[0], records[-1]
        self._journal.begin(self._suspicion.attempt(first, len(records)))
        try:
            with self.phases.timed("step"):
                output = self._run_or_refuse(records, view, stream_time_ms)
            size = check_output(output, len(records), self._record_bytes_max)
            _check_staged(output, view)
        except StoreFailedError:
            raise
        except Exception as error:
            self._journal.fail()
            raise EngineError(
                ExitCode.STEP_FAILED,
                f"step raised on {len(records)} records of partition {self._number}, "
                f"{first.topic}@{first.offset} to {last.topic}@{last.offset}: {error!r}",
            ) from error
        self._forget_try(first)
        return output, size

    def _run_or_refuse(
        self, records: Sequence[SourceRecord], view: UnitStore, stream_time_ms: int
    ) -> UnitOutput:
        first = records[0]
        deaths = self._suspicion.deaths(first)
        if deaths < DEATHS_MAX:
            return self._step.run(records, view, stream_time_ms)
        log.error(
            "record_put_aside",
            topic=first.topic,
            partition=self._number,
            offset=first.offset,
            deaths=deaths,
        )
        return self._step.refuse(first, deaths, view)

    def prepare(
        self, first: SourceRecord, count: int, output: UnitOutput, meta_value: bytes
    ) -> Prepared:
        """Derive the local-only keys before the commit: a step that fails here leaves no trace."""
        if output.local is not None:
            return self._store.prepare_known(output.changelog.items(), output.local, meta_value)
        self._journal.begin(self._suspicion.attempt(first, count))
        try:
            with self.phases.timed("prepare"):
                prepared = self._store.prepare(
                    [*output.changelog.items(), (META_KEY, meta_value)], self._step.local_index
                )
        except StoreFailedError:
            raise
        except Exception as error:
            self._journal.fail()
            raise EngineError(ExitCode.STEP_FAILED, f"local_index raised: {error!r}") from error
        self._forget_try(first)
        return prepared

    def _forget_try(self, first: SourceRecord) -> None:
        """Forget a try that succeeded; that of a record put aside only when its unit is committed.

        Else another partition's poison, killing the process in between, would let this record start
        again at no death: two of them could keep each other from ever being put aside.
        """
        if self._suspicion.deaths(first) < DEATHS_MAX:
            self._journal.succeed()

    def holds(self) -> bool:
        """Tell whether the step waits for a control record before it takes others."""
        try:
            return self._step.holds(UnitStore(self._store, self._step.local_index))
        except StoreFailedError:
            raise
        except Exception as error:
            raise EngineError(ExitCode.STEP_FAILED, f"holds raised: {error!r}") from error

    def tick(self, view: UnitStore, stream_time_ms: int) -> tuple[bytes, bytes] | None:
        """Return the control record by which the step wants time to go on, if any."""
        try:
            # The one place where the machine's clock enters the log, as a record.
            return self._step.tick(stream_time_ms, now_ms(), view)
        except StoreFailedError:
            raise
        except Exception as error:
            raise EngineError(ExitCode.STEP_FAILED, f"tick raised: {error!r}") from error


def _check_staged(output: UnitOutput, view: UnitStore) -> None:
    for key, value in view.staged.items():
        if output.changelog.get(key) != value:
            raise EngineError(
                ExitCode.STEP_FAILED, f"staged {key[:80]!r} is not in the output as staged"
            )
