"""Run a service patched: `python -m integration_tests.planted_bugs.run_with NAME FILE -- X.Y`."""

import sys
from pathlib import Path

from integration_tests.nemesis.wrapping import run_wrapped
from integration_tests.planted_bugs.patches import PATCHES

if __name__ == "__main__":
    PATCHES[sys.argv[1]](Path(sys.argv[2]))
    run_wrapped()
