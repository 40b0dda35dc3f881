"""Child processes that a later run can find again and end, whatever became of this one.

A child gets a process group of its own and a pid file in the run directory. The pid file records
when the kernel started the process (in clock ticks since boot, and which boot), so that a number
the kernel has since given to somebody else is never mistaken for ours. Linux only: it reads /proc.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from services.local.errors import StartError

STOP_GRACE_SECONDS = 10.0
KILL_GRACE_SECONDS = 5.0
ORPHAN_GRACE_SECONDS = 20.0
"""As long as the slowest of all, the broker, may take to close its log in order."""
POLL_SECONDS = 0.02

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Fields of /proc/<pid>/stat counted after the command name, which may itself hold blanks and
# brackets and is therefore skipped by its last `)`: state is the first, start time the 20th.
STATE_FIELD = 0
START_TICKS_FIELD = 19


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from any later one with the same number."""

    pid: int
    start_ticks: int
    boot_id: str
    command: list[str]

    @classmethod
    def of(cls, pid: int, command: Sequence[str]) -> "ProcessIdentity | None":
        """Return the identity of a running process, None when it is already gone."""
        fields = _stat_fields(pid)
        if fields is None:
            return None
        return cls(pid, int(fields[START_TICKS_FIELD]), boot_id(), list(command))

    def alive(self) -> bool:
        """Return whether this very process still runs (a zombie does not)."""
        fields = _stat_fields(self.pid)
        return (
            fields is not None
            and fields[STATE_FIELD] != "Z"
            and int(fields[START_TICKS_FIELD]) == self.start_ticks
            and boot_id() == self.boot_id
        )

    def write(self, pid_file: Path) -> None:
        """Write the pid file whole or not at all."""
        partial = pid_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
        partial.replace(pid_file)

    @classmethod
    def read(cls, pid_file: Path) -> "ProcessIdentity | None":
        """Read a pid file; None when there is none or it is not one of ours."""
        try:
            return cls(**json.loads(pid_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def boot_id() -> str:
    """Return the kernel's name for the current boot."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


class ManagedProcess:
    """One child: started in its own group, logged to a file, ended with everything it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        run_directory: Path,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the child; nothing is started. ``environment`` is added to this process's."""
        self.name = name
        self.command = list(command)
        self.pid_file = run_directory / f"{name}.pid"
        self.log_file = log_file
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process number; StartError when it was never started."""
        if self._process is None:
            message = f"{self.name} is not started"
            raise StartError(message)
        return self._process.pid

    def start(self) -> None:
        """Start the child and write its pid file; output is appended to the log file."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
                start_new_session=True,
            )
        identity = ProcessIdentity.of(self._process.pid, self.command)
        if identity is not None:
            identity.write(self.pid_file)

    def exit_code(self) -> int | None:
        """Return the exit code (negative: the signal), None while running or never started."""
        return None if self._process is None else self._process.poll()

    def running(self) -> bool:
        """Return whether the child is started and has not exited."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child's whole group; nothing happens when it is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> int | None:
        """SIGTERM, wait, SIGKILL what is left of the group; return the child's exit code."""
        if self._process is None:
            return None
        if self.running():
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_seconds)
        self.signal(signal.SIGKILL)
        code = self._process.wait(KILL_GRACE_SECONDS)
        self.pid_file.unlink(missing_ok=True)
        return code

    def kill(self) -> None:
        """SIGKILL the group and leave the pid file, as a crash would (for tests)."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(KILL_GRACE_SECONDS)


def end_orphan(pid_file: Path, grace_seconds: float = STOP_GRACE_SECONDS) -> int | None:
    """End the process of an earlier run that a pid file names; return its number if it ran.

    A pid file whose process is gone, or whose number belongs to another process now, is only
    removed.
    """
    identity = ProcessIdentity.read(pid_file)
    if identity is None or not identity.alive():
        pid_file.unlink(missing_ok=True)
        return None
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, KILL_GRACE_SECONDS)):
        with suppress(ProcessLookupError):
            os.killpg(identity.pid, number)
        deadline = time.monotonic() + patience
        while identity.alive() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    pid_file.unlink(missing_ok=True)
    return identity.pid


def end_orphans(run_directory: Path) -> list[str]:
    """End every process an earlier run left behind, services before servers; return their names."""
    # Services have their pid file at the top, the broker and Redis one folder deeper.
    pid_files = sorted(run_directory.rglob("*.pid"), key=lambda file: (len(file.parts), file.name))
    return [
        pid_file.stem
        for pid_file in pid_files
        if end_orphan(pid_file, ORPHAN_GRACE_SECONDS) is not None
    ]
