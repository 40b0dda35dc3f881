"""Starts a system's processes, brings back those that may come back, ends all of them in order.

Nothing here waits in the background: whoever owns the supervisor calls ``check()`` a few times a
second (``wait_ready`` does while it waits). A child that exits without being told to is started
again within the bounds of its policy (a stream worker ends itself on purpose whenever it is not
sure); one without a policy, or beyond its bounds, is a ChildFailedError.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.local.errors import ChildFailedError, StartError
from services.local.process import STOP_GRACE_SECONDS, ManagedProcess
from services.local.waiting import poll_until

READY_TIMEOUT_SECONDS = 60.0
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a child may come back: at most ``restarts_max`` times in ``window_seconds``.

    Before the n-th of them it waits ``delay_seconds`` times n.
    """

    restarts_max: int = 5
    window_seconds: float = 60.0
    delay_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Child:
    """One process of the system.

    ``ready_file``: the child writes it (JSON, with its port) once it listens. It is removed before
    each start, so that an old one is never believed.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: RestartPolicy | None = None
    ready_file: Path | None = None
    stop_grace_seconds: float = STOP_GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class ChildExit:
    """A child exited by itself and will be started again."""

    name: str
    exit_code: int
    """Negative: the signal that ended it."""
    restarts_in_window: int


@dataclass(slots=True)
class _Running:
    child: Child
    process: ManagedProcess
    restarts: deque[float] = field(default_factory=deque)
    start_at: float | None = None
    """When a child that exited is due to come back."""


class Supervisor:
    """Owns the children below one run directory.

    Pid files are ``<name>.pid``, logs ``logs/<name>.log``. The run directory must be owned
    (``owned_run_directory``), which also ends what an earlier run left behind.
    """

    def __init__(
        self, run_directory: Path, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Supervise nothing yet."""
        self._run_directory = run_directory
        self._monotonic = monotonic
        self._children: dict[str, _Running] = {}

    def start(self, child: Child) -> ManagedProcess:
        """Start a child; StartError when one of that name was started before."""
        if child.name in self._children:
            message = f"{child.name} is already started"
            raise StartError(message)
        process = ManagedProcess(
            child.name,
            child.command,
            run_directory=self._run_directory,
            log_file=self._run_directory / "logs" / f"{child.name}.log",
            environment=child.environment,
        )
        self._children[child.name] = _Running(child, process)
        _launch(child, process)
        return process

    def wait_ready(self, name: str, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> int:
        """Wait for the child's ready file and return its port; look after all children meanwhile.

        Raises ChildFailedError when a child exits and may not come back, StartError when the time
        passes; the message holds the end of its log.
        """
        running = self._children[name]
        ready_file = running.child.ready_file
        if ready_file is None:
            message = f"{name} has no ready file"
            raise StartError(message)

        def listening() -> bool:
            self.check()
            return running.process.running() and ready_file.exists()

        try:
            poll_until(listening, timeout_seconds=timeout_seconds, what=f"{name} is ready")
        except TimeoutError as error:
            raise StartError(_with_log(str(error), running.process)) from error
        return int(json.loads(ready_file.read_text(encoding="utf-8"))["port"])

    def pid(self, name: str) -> int:
        """Process number of a child."""
        return self._children[name].process.pid

    def process(self, name: str) -> ManagedProcess:
        """Process of a child."""
        return self._children[name].process

    def running(self, name: str) -> bool:
        """Return whether a child's process runs now."""
        return self._children[name].process.running()

    def check(self) -> list[ChildExit]:
        """Look after the children; return those that exited since the last look and come back.

        Raises ChildFailedError for one that exited and may not come back; the others go on.
        """
        exits = []
        for running in self._children.values():
            if running.start_at is not None:
                if self._monotonic() >= running.start_at:
                    running.start_at = None
                    _launch(running.child, running.process)
                continue
            exit_code = running.process.exit_code()
            if exit_code is not None:
                exits.append(self._exited(running, exit_code))
        return exits

    def _exited(self, running: _Running, exit_code: int) -> ChildExit:
        child, policy, now = running.child, running.child.restart, self._monotonic()
        if policy is not None:
            while running.restarts and running.restarts[0] <= now - policy.window_seconds:
                running.restarts.popleft()
        if policy is None or len(running.restarts) >= policy.restarts_max:
            message = f"{child.name} exited with code {exit_code}"
            if policy is not None:
                message += f", after {len(running.restarts)} restarts within a short time"
            raise ChildFailedError(_with_log(message, running.process))
        running.restarts.append(now)
        running.start_at = now + policy.delay_seconds * len(running.restarts)
        return ChildExit(child.name, exit_code, len(running.restarts))

    def stop(self, name: str) -> int | None:
        """Stop a child and forget it; return its exit code."""
        running = self._children.pop(name)
        code = running.process.stop(running.child.stop_grace_seconds)
        if running.child.ready_file is not None:
            running.child.ready_file.unlink(missing_ok=True)
        return code

    def stop_all(self) -> dict[str, int | None]:
        """Stop all children, the last started first; return exit codes by name."""
        return {name: self.stop(name) for name in reversed(list(self._children))}


def _launch(child: Child, process: ManagedProcess) -> None:
    if child.ready_file is not None:
        child.ready_file.unlink(missing_ok=True)
    process.start()


def _with_log(message: str, process: ManagedProcess) -> str:
    lines = process.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join(lines[-LOG_TAIL_LINES:])
    return f"{message}; end of {process.log_file}:\n{tail}"
