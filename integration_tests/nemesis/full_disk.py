"""Run a service that can write no file beyond a size, as on a full disk, for its first lives.

`python -m integration_tests.nemesis.full_disk BYTES LIVES FILE -- services.lifecycle`

The limit is RLIMIT_FSIZE; Python ignores SIGXFSZ, so a write beyond it fails with EFBIG. From the
life after LIVES on there is room again.
"""

import resource
import sys
from pathlib import Path

from integration_tests.nemesis.wrapping import begin_life, run_wrapped


def main() -> None:
    """Set the limit and run the service."""
    size, lives, file = sys.argv[1:4]
    if begin_life(Path(file)) < int(lives):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
    run_wrapped()


if __name__ == "__main__":
    main()
