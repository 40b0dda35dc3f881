"""What the wrappers of services share: the count of lives, and running the service itself."""

import runpy
import sys
from pathlib import Path

SEPARATOR = "--"


def begin_life(file: Path) -> int:
    """Count this life of a process in a file; return its number, from 0."""
    life = int(file.read_text()) if file.exists() else 0
    file.write_text(str(life + 1))
    return life


def run_wrapped() -> None:
    """Run the module that the command line names after `--`, as `python -m` does."""
    module = sys.argv[sys.argv.index(SEPARATOR) + 1]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
