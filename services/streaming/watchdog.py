"""End the process when work waits and nothing moves.

Heartbeats come from the consumer's thread, so a wedged main loop would keep its partitions for
ever. The watchdog is a thread of its own and only reads.
"""

import faulthandler
import threading
import time
from collections.abc import Hashable
from typing import NamedTuple

from services.streaming.exits import ExitCode, die
from services.streaming.health import EngineHealth, PartitionHealth

_WATCHDOG = ExitCode.WATCHDOG


class Complaint(NamedTuple):
    """What has stood still for too long, and the code to end with."""

    code: ExitCode
    reason: str


class Watch:
    """Remembers since when something that should move has not moved. Pure: time is an argument."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: dict[Hashable, tuple[Hashable, float]] = {}

    def complaint(self, health: EngineHealth, now: float) -> Complaint | None:
        """Return what has stood still for too long, or None.

        Seen: a main loop that does not turn; and, while the brokers answer, a recovery that neither
        fences nor reads, a worker that waits for an assignment, a partition with records waiting,
        records on the broker, or a unit in flight, that applies nothing. A partition whose step
        holds (no rule bundle yet) waits rightly, and so does a shadow that may go no further.
        Brokers that come and go let nothing be done between: the time counts from their return.
        """
        if now - health.loop_alive > self._patience_s:
            still_s = now - health.loop_alive
            return Complaint(_WATCHDOG, f"the main loop has not turned for {still_s:.0f} s")
        answered = not health.brokers_away
        partitions = list(health.partitions.values())
        recovering = health.recovering or (health.assigned and any(not p.ready for p in partitions))
        left = sum(p.restore.left for p in partitions)
        restored = (health.fenced, health.restored_records, left)
        if self._stuck("recovery", restored, now, busy=recovering and answered):
            # Partitions that are open already may be trying records, which have no part in this.
            return Complaint(
                ExitCode.RECOVERY_FAILED,
                f"recovery stands still at {health.fenced} fenced partitions, "
                f"{health.restored_records} records, {left} offsets left",
            )
        forgotten = health.waits_for_group and answered
        if self._stuck("group", health.rebalances, now, busy=forgotten):
            reason = "revoked, and the group assigns nothing although its brokers answer"
            return Complaint(_WATCHDOG, reason)
        for number, partition in list(health.partitions.items()):
            waits = partition.holding or partition.following
            works = partition.in_flight or (_has_work(partition) and not waits)
            busy = partition.ready and works and answered
            moved = (partition.unit, partition.records, partition.stream_time_ms)
            if self._stuck(number, moved, now, busy=busy):
                return Complaint(
                    _WATCHDOG,
                    f"partition {number} applies nothing: {partition.waiting_records} records "
                    f"waiting, unit {partition.unit}, applied {dict(partition.applied)}, "
                    f"ends {partition.ends}",
                )
        return None

    def _stuck(self, name: Hashable, state: Hashable, now: float, *, busy: bool) -> bool:
        if not busy:
            self._since.pop(name, None)
            return False
        seen, since = self._since.get(name, (None, now))
        if seen != state:
            self._since[name] = (state, now)
            return False
        return now - since > self._patience_s


def _has_work(partition: PartitionHealth) -> bool:
    return partition.waiting_records > 0 or any(partition.lag(t) for t in list(partition.ends))


class Watchdog(threading.Thread):
    """Looks every second, and ends the process on a complaint."""

    def __init__(self, health: EngineHealth, patience_s: float) -> None:
        super().__init__(name="engine-watchdog", daemon=True)
        self._health = health
        self._patience_s = patience_s
        self._watch = Watch(patience_s)

    def run(self) -> None:
        """Watch for ever.

        Native code that keeps the interpreter's lock, such as a regular expression that backtracks
        for hours, keeps this thread out too. So a timer that needs no lock is wound up again every
        second: when it runs down it prints every thread's traceback and ends the process with 1.
        """
        while True:
            faulthandler.dump_traceback_later(self._patience_s, exit=True)
            time.sleep(1.0)
            complaint = self._watch.complaint(self._health, time.monotonic())
            if complaint is not None:
                die(*complaint)
