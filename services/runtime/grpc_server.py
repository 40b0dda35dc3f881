"""The asyncio gRPC server of every service: health, reflection, limits, orderly end."""

import json
import os
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime.call_metrics import CallFigures
from services.runtime.grpc_interceptor import StatusInterceptor
from services.runtime.logging import get_logger
from services.runtime.loopback import is_loopback
from services.runtime.settings import ConfigurationError, GrpcServerSettings

TRANSPORT_FACTOR = 2
"""The transport takes messages up to this multiple of the limit, so that those somewhat too large
are refused with details; it cuts larger ones off itself, with RESOURCE_EXHAUSTED and no details."""

CHANNEL_OPTIONS = (
    # Two processes must never share a port by accident.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

log = get_logger(__name__)


class GrpcServer:
    """One server: add services, start, set serving, stop. All calls from one event loop.

    It answers health NOT_SERVING until ``set_serving(True)``: call that only when the service
    can really answer (index caught up, read model complete).
    """

    def __init__(self, settings: GrpcServerSettings, *, service: str) -> None:
        """Describe the server. Raises ConfigurationError for an address that is not loopback."""
        if not is_loopback(settings.host):
            message = (
                f"host {settings.host} is not loopback: calls are not authorised by a policy yet, "
                "so the service answers this machine only (尚无访问策略，只允许本机访问)"
            )
            raise ConfigurationError(message)
        self._settings = settings
        self._service = service
        self.port = 0
        """The bound port, once started."""
        self.figures = CallFigures()
        """Its calls, for the process's metrics."""
        self._names: list[str] = []
        self._health = health.aio.HealthServicer()
        self._server = aio.server(
            interceptors=[
                StatusInterceptor(
                    message_bytes_max=settings.message_bytes_max,
                    unary_seconds_max=settings.unary_seconds_max,
                    figures=self.figures,
                )
            ],
            options=[
                *CHANNEL_OPTIONS,
                ("grpc.max_receive_message_length", settings.message_bytes_max * TRANSPORT_FACTOR),
                ("grpc.max_send_message_length", settings.message_bytes_max * TRANSPORT_FACTOR),
            ],
            maximum_concurrent_rpcs=settings.calls_max,
        )

    def add_service(
        self,
        descriptor: ServiceDescriptor,
        register: Callable[[Any, aio.Server], None],
        servicer: Any,
    ) -> None:
        """Add a servicer before the start.

        ``descriptor``: ``xxx_pb2.DESCRIPTOR.services_by_name["XxxService"]``; ``register``: the
        generated ``add_XxxServiceServicer_to_server``.
        """
        register(servicer, self._server)
        self._names.append(descriptor.full_name)

    async def start(self) -> int:
        """Bind and serve; return the port. Raises ConfigurationError when it cannot be bound."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        await self.set_serving(serving=False)
        if self._settings.reflection:
            names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            await self._server.stop(None)
            message = f"cannot listen on {address} (无法监听该地址): {error}"
            raise ConfigurationError(message) from error
        await self._server.start()
        self._write_ready_file()
        log.info("server_listening", host=self._settings.host, port=self.port)
        return self.port

    async def set_serving(self, *, serving: bool) -> None:
        """Answer health checks for the server and all its services from now on."""
        states = health_pb2.HealthCheckResponse
        status = states.SERVING if serving else states.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self) -> None:
        """Answer NOT_SERVING, take no new calls, let open ones end for ``drain_seconds``."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.drain_seconds)
        if self._settings.ready_file is not None:
            self._settings.ready_file.unlink(missing_ok=True)
        log.info("server_stopped")

    def _write_ready_file(self) -> None:
        file = self._settings.ready_file
        if file is None:
            return
        content = {
            "service": self._service,
            "host": self._settings.host,
            "port": self.port,
            "pid": os.getpid(),
        }
        partial = file.with_name(f".{file.name}.partial")
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(file)
