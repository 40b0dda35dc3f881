"""What a process tells its operators over HTTP: metrics, whether it is alive, whether it is ready.

``GET /metrics`` (Prometheus), ``/healthz`` (200 while alive, else 503), ``/readyz`` (200 while
ready, else 503); the last two answer with JSON that says why. Off unless a port is set: several
workers of one host cannot share a default one.

The server runs in threads of its own, so that it can say of a main loop that does not turn that it
does not turn. It reads plain numbers; nothing is collected between two requests.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from services.runtime.logging import get_logger, origin_of
from services.runtime.loopback import is_loopback
from services.runtime.settings import ConfigurationError, MonitorSettings

REQUESTS_MAX = 8
"""Requests answered at once; further connections are closed unanswered."""
REQUEST_SECONDS_MAX = 5.0
"""A request is over after so long, however busily its client sends or takes byte after byte."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Condition:
    """How a process is: alive (else it should be started again) and ready (else not be used)."""

    live: bool
    ready: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    """What an operator wants to see beside it; no identities, no keys."""


Probe = Callable[[], Condition]
"""Asked from another thread at every health request: it only reads, and returns at once."""


class MonitorServer:
    """Serves until the process ends. Make it with ``start_monitor``."""

    def __init__(
        self,
        settings: MonitorSettings,
        service: str,
        probe: Probe,
        collectors: Iterable[Collector],
    ) -> None:
        """Bind. Raises ConfigurationError for an address that may not or cannot be bound."""
        if not settings.open_to_network and not is_loopback(settings.host):
            message = (
                f"metrics host {settings.host} is not loopback: whoever reaches it could read the "
                "figures. Set METRICS__OPEN_TO_NETWORK=true where that is meant (只允许本机访问)"
            )
            raise ConfigurationError(message)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        for collector in collectors:
            registry.register(collector)
        try:
            self._server = _Server((settings.host, settings.port or 0), registry, probe)
        except OSError as error:
            message = f"cannot listen on {settings.host}:{settings.port} (无法监听该地址): {error}"
            raise ConfigurationError(message) from error
        self._service = service
        self._host = settings.host
        self._address_file = settings.address_file
        self.port = int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from now on, in threads that do not keep the process alive."""
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()
        if self._address_file is not None:
            content = {
                "service": self._service,
                "host": self._host,
                "port": self.port,
                "pid": os.getpid(),
            }
            partial = self._address_file.with_name(f".{self._address_file.name}.partial")
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.replace(self._address_file)
        log.info("monitor_listening", host=self._host, port=self.port)

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        if self._address_file is not None:
            self._address_file.unlink(missing_ok=True)


def start_monitor(
    settings: MonitorSettings, service: str, probe: Probe, *collectors: Collector
) -> MonitorServer | None:
    """Serve a process's metrics and health, if its settings name a port; return the server.

    Raises ConfigurationError when the address may not or cannot be bound.
    """
    if settings.port is None:
        return None
    server = MonitorServer(settings, service, probe, collectors)
    server.start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = REQUESTS_MAX

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, probe: Probe) -> None:
        self.registry = registry
        self.probe = probe
        self._slots = threading.BoundedSemaphore(REQUESTS_MAX)
        self._deadlines: dict[Any, float] = {}
        """By open connection, in monotonic seconds."""
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            self._deadlines[request] = time.monotonic() + REQUEST_SECONDS_MAX
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._deadlines.pop(request, None)
            self._slots.release()

    def service_actions(self) -> None:
        # Called by the accepting thread twice a second. A timeout of the socket begins anew with
        # every byte, so a client that trickles them would keep its place for hours.
        now = time.monotonic()
        for request, deadline in list(self._deadlines.items()):
            if now > deadline:
                with suppress(OSError):  # it has just ended by itself
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away, mostly; never a reason to end anything.
        del request, client_address
        log.debug("monitor_request_failed", **origin_of(sys.exception() or OSError()))


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.server.registry), content_type)
        elif path in {"/healthz", "/readyz"}:
            condition = self.server.probe()
            good = condition.live if path == "/healthz" else condition.live and condition.ready
            told = {"live": condition.live, "ready": condition.ready, **condition.details}
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, json.dumps(told).encode() + b"\n", "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"/metrics /healthz /readyz\n", "text/plain")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        # Not which Python this is.
        return "monitor"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  the parent's name
        # One line a request would be all there is in the log.
        pass
