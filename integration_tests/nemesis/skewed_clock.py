"""Run a service on a machine whose clock is wrong, or steps.

`python -m integration_tests.nemesis.skewed_clock SECONDS STEP_EVERY -- services.registration`

SECONDS are added to what `services.runtime.clock` tells, the one place that asks the machine. With
STEP_EVERY above 0 the clock is wrong for so many seconds, then right for as many.
"""

import sys
import time
from datetime import timedelta

from integration_tests.nemesis.wrapping import run_wrapped
from services.runtime import clock


def main() -> None:
    """Skew the clock and run the service."""
    seconds, every = float(sys.argv[1]), float(sys.argv[2])
    began = time.monotonic()
    now_ms, utc_now = clock.now_ms, clock.utc_now

    def skew() -> float:
        wrong = not every or int((time.monotonic() - began) / every) % 2 == 0
        return seconds if wrong else 0.0

    clock.now_ms = lambda: now_ms() + int(skew() * 1000)
    clock.utc_now = lambda: utc_now() + timedelta(seconds=skew())
    run_wrapped()


if __name__ == "__main__":
    main()
