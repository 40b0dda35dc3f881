"""`python -m integration_tests.judge RUN_DIR`: judge the run a directory holds the evidence of."""

import sys
from pathlib import Path

from integration_tests.judge.evidence import load
from integration_tests.judge.judgement import judge


def main() -> int:
    """Print the verdict; 1 when something is wrong."""
    if len(sys.argv) != 2:  # the program and the directory
        sys.stderr.write("usage: python -m integration_tests.judge RUN_DIR\n")
        return 2
    verdict = judge(load(Path(sys.argv[1])))
    sys.stdout.write(f"{verdict}\n")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
