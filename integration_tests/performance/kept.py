"""What a long run has made so far, kept on disk, so that the next run goes on from there.

Belongs to one commit: what an other one made is thrown away, and so is everything made by a tree
with changes that are not committed, of which nobody can say what they were.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMIT = "commit"
UNCOMMITTED = "+"

Made = dict[str, Any]


class Kept:
    """Results by name, each written as soon as it is there. Without a file: for one run only."""

    def __init__(self, file: Path | None = None, commit: str = "") -> None:
        self._file = file
        self._made: dict[str, Any] = {COMMIT: commit}
        if file is not None and file.exists():
            self._made = json.loads(file.read_text(encoding="utf-8"))

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what was made under this name, now or in an earlier run."""
        if name not in self._made:
            self._made[name] = make()
            self._write()
        found: Made = self._made[name]
        return found

    def has(self, name: str) -> bool:
        """Whether something was made under this name."""
        return name in self._made

    def forget(self, name: str) -> None:
        """Make it anew next time."""
        if self._made.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._made, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._file)


def is_of(file: Path, commit: str) -> bool:
    """Whether what is kept there was made by this commit and may be used."""
    if not file.exists() or commit.endswith(UNCOMMITTED):
        return False
    return bool(json.loads(file.read_text(encoding="utf-8")).get(COMMIT) == commit)
