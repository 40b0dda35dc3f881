"""One import from the first row to the report (导入过程)."""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from services.contracts.families import EVENT_BYTES_MAX
from services.contracts.labels import Label
from services.importing import outcomes
from services.importing.delivery import Delivery
from services.importing.endpoints import Endpoints
from services.importing.errors import ImportingError, RowProblem, RowRefusedError
from services.importing.ledger import Ledger
from services.importing.mapping import MappedEvent
from services.importing.readers import Reader
from services.importing.rows import Row, as_text

UNDER_WAY_MAX: Final = 1_500
"""Rows read and not yet settled; below what a service takes from one stream."""

SAVE_ROWS: Final = 2_000
SAVE_SECONDS: Final = 1.0
"""The checkpoint is written after so many rows or so much time, whichever comes first."""

TELL_SECONDS: Final = 0.1
"""Progress is told at most this often."""

_ROWS_PER_TURN: Final = 20

_INDEX = re.compile(r"\[[^\]]*\]")

ToEvent = Callable[[Row], MappedEvent]
"""Raises RowRefusedError."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an import stands (进度)."""

    rows: int
    """Rows of the file."""
    settled: int
    accepted: int
    rejected: int
    under_way: int
    """Rows that were read and have no outcome yet."""
    sent_again: int


@dataclass(frozen=True, slots=True)
class Result:
    """How an import ended; rows = accepted + rejected + unknown + not sent."""

    rows: int
    accepted: int
    """Rows whose event has a receipt."""
    rejected: int
    unknown: int
    """Rows that were sent, or about to be, and have no outcome; 0 in a complete import."""
    not_sent: int
    """Rows behind them; 0 in a complete import."""
    resumed_at: int
    accepted_by_family: Mapping[str, int]
    rejected_by_reason: Mapping[str, int]
    failure: ImportingError | None
    """What ended it before its last row."""


class _Pending:
    """One row between being read and being settled."""

    __slots__ = ("final", "mapped", "problems", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.mapped: MappedEvent | None = None
        self.problems: tuple[RowProblem, ...] = ()
        self.final: outcomes.Final | None = None

    def on_final(self, final: outcomes.Final) -> None:
        self.final = final

    @property
    def is_settled(self) -> bool:
        return self.final is not None or bool(self.problems)


class ImportSession:
    """Brings a file in, from where its ledger stands."""

    def __init__(
        self,
        reader: Reader,
        to_event: ToEvent,
        ledger: Ledger,
        *,
        on_progress: Callable[[Progress], None],
        rows: int,
    ) -> None:
        self._reader = reader
        self._to_event = to_event
        self._ledger = ledger
        self._on_progress = on_progress
        self._rows = rows
        self._pending: deque[_Pending] = deque()
        self._saved_at = 0.0
        self._told_at = 0.0
        self._settled_when_saved = ledger.tally.settled

    async def run(self, endpoints: Endpoints, *, patience_s: float) -> Result:
        """Send every row; returns also when outcomes stay unknown, with the failure in the result.

        Whatever happens, the ledger is left at the last settled row.
        """
        failure: ImportingError | None = None
        async with Delivery(endpoints, patience_s=patience_s) as delivery:
            try:
                await self._send_all(delivery)
                await delivery.finish()
            except ImportingError as error:
                failure = error
                self._settle(delivery)
            except asyncio.CancelledError:
                # Ctrl-C: what is settled by now need not be sent again.
                self._settle(delivery)
                self._ledger.close(complete=False)
                raise
            self._tell(delivery)
        tally = self._ledger.tally
        self._ledger.close(complete=failure is None)
        return Result(
            rows=self._rows,
            accepted=tally.accepted,
            rejected=tally.rejected,
            unknown=len(self._pending),
            not_sent=self._rows - tally.settled - len(self._pending),
            resumed_at=self._ledger.resumed_at,
            accepted_by_family=dict(sorted(tally.accepted_by_family.items())),
            rejected_by_reason=dict(tally.rejected_by_reason),
            failure=failure,
        )

    async def _send_all(self, delivery: Delivery) -> None:
        start = self._ledger.tally.settled
        for sequence, row in enumerate(islice(self._reader.rows(), start, None), start=start):
            pending = _Pending(row)
            self._pending.append(pending)
            self._submit(delivery, sequence, pending)
            if sequence % _ROWS_PER_TURN == 0:
                # The streams share this event loop with the reading.
                await asyncio.sleep(0)
                self._settle(delivery)
                delivery.raise_failure()
            await self._wait_while(delivery, UNDER_WAY_MAX)
        await self._wait_while(delivery, 1)

    async def _wait_while(self, delivery: Delivery, pending_count: int) -> None:
        self._settle(delivery)
        while len(self._pending) >= pending_count:
            await delivery.changed()
            self._settle(delivery)

    def _submit(self, delivery: Delivery, sequence: int, pending: _Pending) -> None:
        try:
            mapped = self._to_event(pending.row)
        except RowRefusedError as error:
            pending.problems = error.problems
            return
        size = mapped.event.ByteSize()
        if size > EVENT_BYTES_MAX:
            # No service takes it, and one far larger would end the stream.
            reason = Label(f"事件过大 ({size}字节)", f"the event is too large ({size} bytes)")
            pending.problems = (RowProblem("-", "", reason),)
            return
        pending.mapped = mapped
        delivery.submit(mapped.family.name, sequence, mapped.event, pending.on_final)

    def _settle(self, delivery: Delivery) -> None:
        """Write down the settled rows at the head, in the order of the file."""
        while self._pending and self._pending[0].is_settled:
            self._write_down(self._pending.popleft())
        tally = self._ledger.tally
        now = asyncio.get_running_loop().time()
        settled_since = tally.settled - self._settled_when_saved
        if settled_since and (settled_since >= SAVE_ROWS or now - self._saved_at >= SAVE_SECONDS):
            self._ledger.save()
            self._saved_at = now
            self._settled_when_saved = tally.settled
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(delivery)

    def _tell(self, delivery: Delivery) -> None:
        tally = self._ledger.tally
        self._on_progress(
            Progress(
                rows=self._rows,
                settled=tally.settled,
                accepted=tally.accepted,
                rejected=tally.rejected,
                under_way=len(self._pending),
                sent_again=delivery.sent_again,
            )
        )

    def _write_down(self, pending: _Pending) -> None:
        if pending.problems:
            self._ledger.reject(pending.row, pending.problems)
        elif isinstance(pending.final, outcomes.Accepted) and pending.mapped is not None:
            family = pending.mapped.family.name
            self._ledger.accept(pending.row, family, pending.final.receipt)
        elif isinstance(pending.final, outcomes.Refused) and pending.mapped is not None:
            problems = tuple(
                _by_column(problem, pending.mapped, pending.row)
                for problem in pending.final.problems
            )
            self._ledger.reject(pending.row, problems)


def _by_column(problem: RowProblem, mapped: MappedEvent, row: Row) -> RowProblem:
    """Name the column a refused field was read from, and what stands there.

    The service names `licence.licence_type.code`; the profile reads `licence.licence_type`: the
    longest path it knows counts.
    """
    path = _INDEX.sub("", problem.column.removeprefix("event."))
    while path:
        columns = mapped.columns_by_field.get(path)
        if columns is not None:
            shown = "; ".join(as_text(row.value_at(name)) for name in columns.split("; "))
            return RowProblem(columns, shown, problem.reason)
        path = path.rpartition(".")[0] if "." in path else ""
    return problem
