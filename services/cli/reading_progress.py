"""Progress of reading a topic on standard error: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from services.cli.output import messages, note

PLAIN_LINE_SECONDS: Final = 5.0


class ReadingProgress:
    """Shows how many of the offsets are read. Use as a context manager."""

    def __init__(self, name: str, offsets: int) -> None:
        self._name = name
        self._offsets = offsets
        self._begun_at = self._told_at = time.monotonic()
        self._task: TaskID | None = None
        self._bar: Progress | None = None
        if messages.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(),
                console=messages,
            )

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=self._offsets)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Show no more."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, offsets_done: int) -> None:
        """Show how many offsets are read."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=offsets_done)
            return
        now = time.monotonic()
        if now - self._told_at >= PLAIN_LINE_SECONDS:
            self._told_at = now
            rate = offsets_done / max(now - self._begun_at, 1e-3)
            note(
                f"{self._name}: {offsets_done:,}/{self._offsets:,} offsets, {rate:,.0f}/s (读取中)"
            )
