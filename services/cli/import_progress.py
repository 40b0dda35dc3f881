"""Progress of an import on standard error: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any, Final, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from services.cli.output import messages, note
from services.importing import session

PLAIN_LINE_SECONDS: Final = 2.0


class ImportProgress:
    """Shows rate, time left, taken, refused and under way. Use as a context manager."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun_at = time.monotonic()
        self._told_at = self._begun_at
        self._settled_at_start: int | None = None
        self._task: TaskID | None = None
        self._bar: Progress | None = None
        if messages.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:,.0f}/s"),
                TimeRemainingColumn(),
                TextColumn(
                    "[green]{task.fields[accepted]:,} taken 入库[/] "
                    "[red]{task.fields[rejected]:,} refused 拒收[/] "
                    "{task.fields[under_way]:,} unknown 待定"
                ),
                console=messages,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: session.Progress) -> None:
        """Show where the import stands."""
        now = time.monotonic()
        if self._settled_at_start is None:
            self._settled_at_start = progress.settled
        rate = (progress.settled - self._settled_at_start) / max(now - self._begun_at, 1e-3)
        if self._bar is not None:
            self._show_bar(self._bar, progress, rate)
        elif now - self._told_at >= PLAIN_LINE_SECONDS or progress.settled == progress.rows:
            self._told_at = now
            note(plain_line(self._name, progress, rate))

    def _show_bar(self, bar: Progress, progress: session.Progress, rate: float) -> None:
        fields: dict[str, Any] = {
            "accepted": progress.accepted,
            "rejected": progress.rejected,
            "under_way": progress.under_way,
            "rate": rate,
        }
        if self._task is None:
            self._task = bar.add_task(self._name, total=progress.rows, **fields)
        bar.update(self._task, completed=progress.settled, **fields)


def plain_line(name: str, progress: session.Progress, rate: float) -> str:
    """Return one line that says where the import stands; rate in rows a second."""
    left = progress.rows - progress.settled
    eta = f"{left / rate:,.0f} s" if rate > 0 else "?"
    return (
        f"{name}: {progress.settled:,}/{progress.rows:,} rows, {rate:,.0f}/s, ETA {eta}, "
        f"accepted {progress.accepted:,}, rejected {progress.rejected:,}, "
        f"unknown {progress.under_way:,}"
    )
