"""Children: started, brought back, ended, and found again after a crash of their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.local.errors import AlreadyRunningError, ChildFailedError, StartError
from services.local.process import ManagedProcess, ProcessIdentity, end_orphan, end_orphans
from services.local.run_directory import owned_run_directory, remove_abandoned, write_private
from services.local.supervisor import Child, RestartPolicy, Supervisor
from services.local.waiting import poll_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
LISTENER = """
import sys, time
open(sys.argv[1], "w").write('{"port": 4711}')
time.sleep(60)
"""
SECOND_TRY = """
import pathlib, sys, time
first = pathlib.Path(sys.argv[1])
if not first.exists():
    first.touch()
    sys.exit(75)
pathlib.Path(sys.argv[2]).write_text('{"port": 4711}')
time.sleep(60)
"""


def exited(supervisor: Supervisor, name: str) -> None:
    """Wait until a child is gone."""
    poll_until(lambda: not supervisor.running(name), what=f"{name} is gone")


def test_stop_all_ends_children_and_removes_pid_files(tmp_path: Path) -> None:
    """After a stop nothing runs and nothing is left to be found."""
    supervisor = Supervisor(tmp_path)
    pids = [supervisor.start(Child(name, SLEEPER)).pid for name in ("first", "second")]
    codes = supervisor.stop_all()
    assert codes == {"second": -signal.SIGTERM, "first": -signal.SIGTERM}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert list(tmp_path.glob("*.pid")) == []


def test_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM does not outlive its grace."""
    process = ManagedProcess(
        "stubborn",
        [sys.executable, "-c", DEAF],
        run_directory=tmp_path,
        log_file=tmp_path / "stubborn.log",
    )
    process.start()
    poll_until(lambda: "deaf" in process.log_file.read_text(), what="the child ignores SIGTERM")
    assert process.stop(grace_seconds=0.2) == -signal.SIGKILL


def test_child_with_policy_comes_back_until_its_bound(tmp_path: Path) -> None:
    """A worker that ends itself is started again twice, and the third time is a failure."""
    supervisor = Supervisor(tmp_path)
    policy = RestartPolicy(restarts_max=2, delay_seconds=0)
    command = [sys.executable, "-c", "print('fenced'); raise SystemExit(75)"]
    supervisor.start(Child("worker", command, restart=policy))
    for count in (1, 2):
        exited(supervisor, "worker")
        [seen] = supervisor.check()
        assert (seen.exit_code, seen.restarts_in_window) == (75, count)
        assert supervisor.check() == []
    exited(supervisor, "worker")
    with pytest.raises(ChildFailedError, match=r"code 75[^$]*fenced"):
        supervisor.check()


def test_restarts_older_than_the_window_are_forgiven(tmp_path: Path) -> None:
    """The bound counts a burst of exits, not the exits of a whole day."""
    now = [0.0]
    supervisor = Supervisor(tmp_path, monotonic=lambda: now[0])
    policy = RestartPolicy(restarts_max=1, window_seconds=10, delay_seconds=1)
    command = [sys.executable, "-c", "raise SystemExit(75)"]
    supervisor.start(Child("worker", command, restart=policy))
    for _ in range(3):
        exited(supervisor, "worker")
        assert [seen.restarts_in_window for seen in supervisor.check()] == [1]
        assert supervisor.check() == []
        now[0] += 11
        supervisor.check()
    supervisor.stop_all()


def test_child_without_policy_that_exits_is_a_failure_with_its_log(tmp_path: Path) -> None:
    """A service that is not meant to exit is reported by name, with what it said last."""
    supervisor = Supervisor(tmp_path)
    supervisor.start(Child("service", [sys.executable, "-c", "raise SystemExit('no port')"]))
    exited(supervisor, "service")
    with pytest.raises(ChildFailedError, match=r"service exited with code 1[^$]*no port"):
        supervisor.check()


def test_wait_ready_returns_the_childs_own_port_not_an_old_one(tmp_path: Path) -> None:
    """A ready file of an earlier run is not believed."""
    ready = tmp_path / "ready.json"
    ready.write_text('{"port": 1}')
    supervisor = Supervisor(tmp_path)
    command = [sys.executable, "-c", LISTENER, str(ready)]
    supervisor.start(Child("service", command, ready_file=ready))
    assert supervisor.wait_ready("service") == 4711
    supervisor.stop_all()


def test_wait_ready_for_child_that_exits_fails_at_once(tmp_path: Path) -> None:
    """Nobody waits a minute for a service that is already gone."""
    supervisor = Supervisor(tmp_path)
    command = [sys.executable, "-c", "raise SystemExit('bad setting')"]
    supervisor.start(Child("service", command, ready_file=tmp_path / "ready.json"))
    before = time.monotonic()
    with pytest.raises(ChildFailedError, match="bad setting"):
        supervisor.wait_ready("service")
    assert time.monotonic() - before < 30


def test_wait_ready_for_child_that_comes_back_waits_for_its_next_life(tmp_path: Path) -> None:
    """A worker that ends itself while it starts is within its policy, as it is later."""
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-c", SECOND_TRY, str(tmp_path / "first"), str(ready)]
    supervisor = Supervisor(tmp_path)
    policy = RestartPolicy(restarts_max=1, delay_seconds=0.01)
    supervisor.start(Child("worker", command, restart=policy, ready_file=ready))
    assert supervisor.wait_ready("worker") == 4711
    supervisor.stop_all()


def test_wait_ready_for_child_that_never_is_names_its_log(tmp_path: Path) -> None:
    """A wait has an end."""
    supervisor = Supervisor(tmp_path)
    supervisor.start(Child("service", SLEEPER, ready_file=tmp_path / "ready.json"))
    with pytest.raises(StartError, match=r"service\.log"):
        supervisor.wait_ready("service", timeout_seconds=0.1)
    supervisor.stop_all()


def test_private_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Addresses may hold a password."""
    file = tmp_path / "endpoints.json"
    for text in ("one", "two"):
        write_private(file, text)
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == 0o600


def test_orphan_of_a_killed_parent_is_found_and_ended(tmp_path: Path) -> None:
    """A run killed with -9 leaves its children; the next one ends them and may start."""
    parent = (
        "import sys, time; from pathlib import Path\n"
        "from services.local.run_directory import owned_run_directory\n"
        "from services.local.supervisor import Child, Supervisor\n"
        "with owned_run_directory(Path(sys.argv[1])):\n"
        "    Supervisor(Path(sys.argv[1])).start(Child('worker', sys.argv[2:]))\n"
        "    print('started', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", parent, str(tmp_path), *SLEEPER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        with pytest.raises(AlreadyRunningError), owned_run_directory(tmp_path):
            pass
        process.kill()
    identity = ProcessIdentity.read(tmp_path / "worker.pid")
    assert identity is not None
    assert identity.alive()
    with owned_run_directory(tmp_path) as ended:
        assert ended == ["worker"]
        assert not identity.alive()


def test_process_that_only_has_the_number_of_ours_is_left_alone(tmp_path: Path) -> None:
    """A pid file whose number the kernel gave to somebody else since ends nobody."""
    with subprocess.Popen(SLEEPER) as stranger:
        identity = ProcessIdentity.of(stranger.pid, SLEEPER)
        assert identity is not None
        older = ProcessIdentity(
            identity.pid, identity.start_ticks - 1, identity.boot_id, identity.command
        )
        older.write(tmp_path / "worker.pid")
        assert end_orphan(tmp_path / "worker.pid") is None
        assert stranger.poll() is None
        stranger.kill()
    assert not (tmp_path / "worker.pid").exists()


def test_damaged_pid_file_ends_nobody(tmp_path: Path) -> None:
    """A pid file cut short by a crash is removed, not obeyed."""
    (tmp_path / "worker.pid").write_text('{"pid": ' + str(os.getpid()))
    assert end_orphans(tmp_path) == []
    assert not (tmp_path / "worker.pid").exists()


def test_remove_abandoned_leaves_directories_in_use(tmp_path: Path) -> None:
    """Only what belongs to no live run is removed."""
    (tmp_path / "old").mkdir()
    with owned_run_directory(tmp_path / "live"):
        assert remove_abandoned(tmp_path) == [tmp_path / "old"]
        assert (tmp_path / "live").exists()
