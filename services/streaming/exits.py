"""The ways this process ends itself: every one has a code and a log line.

The engine never continues after something it did not expect. A supervisor starts the process again,
which fences, recovers and goes on from the last committed unit; that is the only repair there is.
"""

import enum
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from aiokafka.errors import KafkaError

from services.runtime.logging import get_logger

log = get_logger(__name__)


class ExitCode(enum.IntEnum):
    """Exit codes of a stream worker (进程退出码). 0 is a clean stop, 1 a crash of Faust itself."""

    STEP_FAILED = 70
    """The business step raised, or returned an output that may not be written (at most three times
    on one record: then it is put aside)."""
    DELIVERY_HOLE = 71
    """Records were missing between two fetch positions, or between delivery and the state."""
    FENCED = 72
    """Another worker took over a partition of this one; whatever was in flight is void."""
    NOT_COPARTITIONED = 73
    """The assignment holds different partition numbers for different source topics."""
    UNASSIGNED = 74
    """The group leader assigned this worker nothing, and a partition to nobody."""
    TOPICS_UNUSABLE = 75
    """A topic is missing or has another number of partitions, or no broker answered in time."""
    SOURCE_TRUNCATED = 76
    """A source topic does not hold what the state still has to read, or ends before it."""
    RECOVERY_FAILED = 77
    """A partition could not be fenced, restored from the changelog or positioned."""
    UNIT_TIMEOUT = 78
    """A unit in flight did not end in time before a rebalance or a stop."""
    WATCHDOG = 79
    """Work was waiting and nothing moved for the watchdog's time."""
    GUARD = 80
    """Faust, aiokafka or mode are not the versions this engine was written against."""
    DELIVERY_FAILED = 81
    """Fetching or handing over records raised or ended; or what keeps a worker in its group did."""
    STOCK_PATH = 82
    """A record came through Faust's own delivery, which loses records."""
    COMMIT_FAILED = 83
    """A transaction could not be written or committed; its outcome is settled by the next owner."""
    RECORD_WITHOUT_STATE = 84
    """A guarded topic holds records of a partition whose state is empty: they would come twice."""
    STATE_VERSION = 85
    """This release may not go on with the state: another version of it took over for ever, it still
    follows a running one, or a newer release wrote it."""
    LOCAL_DISK_FAILED = 86
    """A local store or journal could not be read or written (disk full, I/O error, damage). Nothing
    speaks against the record that was being tried."""


class EngineError(Exception):
    """A condition that ends the process: the code to end with and a sentence for the log."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


_last_acts: list[Callable[[ExitCode], None]] = []


def before_exit(act: Callable[[ExitCode], None]) -> None:
    """Call ``act`` with the code before the process ends itself; it must be short, and not wait."""
    _last_acts.append(act)


def die(code: ExitCode, message: str, cause: BaseException | None = None) -> NoReturn:
    """Log one line (with the traceback of ``cause``) and end the process at once with ``code``.

    Nothing is flushed, closed or committed: an open transaction is aborted by the next owner.
    """
    log.critical("worker_exit", code=int(code), name=code.name, reason=message, **_traceback(cause))
    for handler in logging.getLogger().handlers:
        handler.flush()
    for act in _last_acts:
        with suppress(Exception):  # nothing may keep the process alive
            act(code)
    os._exit(code)


def name_crash(end: SystemExit) -> None:
    """End the process with a code of its own where Faust ended (1) because no broker answered.

    That happens to a worker that is starting when the broker goes: `check_topics` is behind it.
    """
    cause = end.__context__
    if end.code and isinstance(cause, KafkaError) and cause.retriable:
        die(ExitCode.TOPICS_UNUSABLE, f"the broker went away: {cause!r}", cause)


def _traceback(cause: BaseException | None) -> dict[str, BaseException]:
    return {} if cause is None else {"exc_info": cause}


def die_of(error: BaseException, otherwise: ExitCode, doing: str) -> NoReturn:
    """End the process because of ``error``: with its own code if it has one, else ``otherwise``."""
    if isinstance(error, EngineError):
        die(error.code, f"{doing}: {error}", error.__cause__)
    die(otherwise, f"{doing}: {error!r}", error)
