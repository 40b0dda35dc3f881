"""What every reader offers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from services.importing.rows import Row


class Reader(Protocol):
    """A file as rows in a fixed order; the same file gives the same rows for ever."""

    path: Path

    @property
    def columns(self) -> tuple[str, ...]:
        """Original columns, in order, as a rejects file repeats them."""

    def rows(self) -> Iterator[Row]:
        """Read from the start; every row that is not blank, unreadable ones with a defect."""

    def count(self) -> int:
        """Count the rows that `rows()` gives, without giving them meaning."""
