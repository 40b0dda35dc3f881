"""Archive today's log of a small city, or renew the outcome of an archived one on purpose.

python -m integration_tests.archive write 2026-11     a new log, with its outcome
python -m integration_tests.archive renew 2026-11     the outcome alone: folding was changed
"""

import argparse
import sys

from integration_tests.archive.archived_log import read_log, replay, write_log, write_outcome
from integration_tests.performance.step_prepared import city_records


def main() -> None:
    """Do what is asked, and print the outcome."""
    parser = argparse.ArgumentParser(prog="integration_tests.archive", description=__doc__)
    parser.add_argument("act", choices=("write", "renew"))
    parser.add_argument("name")
    given = parser.parse_args()
    if given.act == "write":
        write_log(given.name, city_records())
    outcome = replay(read_log(given.name))
    write_outcome(given.name, outcome)
    sys.stdout.write(f"{given.name}: {outcome}\n")


if __name__ == "__main__":
    main()
