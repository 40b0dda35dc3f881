"""Starts projection and profiles as real processes, and talks to them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import (
    EntityProfileServiceStub,
)

START_SECONDS = 120.0
"""Until a process is ready, or has ended: a second or two, where nobody else uses the machine."""


class Service:
    """One process of a service, with its log file."""

    def __init__(self, module: str, directory: Path, environment: Mapping[str, str]) -> None:
        self.log = directory / f"{module}.log"
        self.ready_file = directory / f"{module}-{time.monotonic_ns()}.ready"
        self._environment = {**os.environ, **environment}
        self._module = module
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable, "-m", f"services.{self._module}",
                    "--ready-file", str(self.ready_file),
                ],
                env=self._environment,
                stderr=log,
                stdout=log,
            )  # fmt: skip

    def wait_ready(self) -> dict[str, object]:
        """Wait for the ready file; return what it says."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.02)
        ready: dict[str, object] = json.loads(self.ready_file.read_text())
        return ready

    def pause(self) -> None:
        """Stop the process without ending it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process in order; it must end with 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        code = self.process.wait(timeout=START_SECONDS)
        assert code == 0, f"exit code {code}: {self.log.read_text()[-4000:]}"

    def kill(self) -> None:
        """End the process as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=START_SECONDS)


class ReadSide:
    """The read side of one test: its servers' addresses and its processes."""

    def __init__(self, kafka_bootstrap: str, redis_url: str, directory: Path) -> None:
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "REDIS_URL": redis_url,
            "MARKET_SUPERVISION_PROFILES__DATA_DIR": str(directory / "profiles-data"),
        }
        self._directory = directory
        self._started: list[Service] = []

    def projection(self, **settings: str) -> Service:
        """Start a projection; settings by field name."""
        return self._start("projection", settings)

    def profiles(self, **settings: str) -> Service:
        """Start the query side; settings by field name (`watch__stall_seconds`)."""
        return self._start("profiles", settings)

    def _start(self, module: str, settings: Mapping[str, str]) -> Service:
        named = {
            f"MARKET_SUPERVISION_{module.upper()}__{field.upper()}": value
            for field, value in settings.items()
        }
        service = Service(module, self._directory, {**self.environment, **named})
        self._started.append(service)
        return service

    def end(self) -> None:
        """End whatever still runs."""
        for service in self._started:
            service.kill()


@contextmanager
def read_side(kafka_bootstrap: str, redis_url: str, directory: Path) -> Iterator[ReadSide]:
    """Give a read side whose processes are gone afterwards."""
    side = ReadSide(kafka_bootstrap, redis_url, directory)
    try:
        yield side
    finally:
        side.end()


class Client:
    """Stubs of both services over one channel."""

    def __init__(self, service: Service) -> None:
        self.address = f"127.0.0.1:{service.wait_ready()['port']}"
        self.channel = aio.insecure_channel(self.address)
        self.profiles = EntityProfileServiceStub(self.channel)
        self.alerts = AlertServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel."""
        await self.channel.close()


def reason(error: aio.AioRpcError) -> str:
    """Return the ErrorInfo reason an error carries."""
    return error_info(error).reason


def error_info(error: aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo an error carries."""
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info
    message = f"no ErrorInfo: {error}"
    raise AssertionError(message)


Answer = TypeVar("Answer")


async def eventually(
    what: str, attempt: Callable[[], Awaitable[Answer | None]], seconds: float = 90.0
) -> Answer:
    """Call ``attempt`` until it answers something true; UNAVAILABLE counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        answer = None
        try:
            answer = await attempt()
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)
