"""The gRPC server, over a real loopback connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from market_supervision.registration.v1 import registration_intake_service_pb2 as contract
from market_supervision.registration.v1 import registration_intake_service_pb2_grpc as stubs
from structlog.testing import capture_logs

from services.runtime.errors import BufferFullError, FieldInvalidError, FieldViolation
from services.runtime.grpc_server import GrpcServer
from services.runtime.settings import ConfigurationError, GrpcServerSettings

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["RegistrationIntakeService"]
MESSAGE_BYTES_MAX = 10_000
SECRET = "13800000000"  # noqa: S105 - stands for a person's telephone number

Answer = Callable[[Any], Awaitable[Any]]


class Servicer(stubs.RegistrationIntakeServiceServicer):
    """Answers every call by one function."""

    def __init__(self, answer: Answer) -> None:
        """Take the function that answers."""
        self._answer = answer

    async def Submit(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Answer a single request."""
        return await self._answer(request)

    async def BatchSubmit(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Answer a batch as a whole."""
        return await self._answer(request)

    async def StreamSubmit(self, request_iterator: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """Answer each request of a stream."""
        async for request in request_iterator:
            yield await self._answer(request)


@asynccontextmanager
async def serving(answer: Answer, **settings: Any) -> AsyncIterator[tuple[GrpcServer, aio.Channel]]:
    """Run a server and a client connected to it."""
    settings = {"message_bytes_max": MESSAGE_BYTES_MAX, "drain_seconds": 1} | settings
    server = GrpcServer(GrpcServerSettings(**settings), service="registration")
    register = stubs.add_RegistrationIntakeServiceServicer_to_server
    server.add_service(DESCRIPTOR, register, Servicer(answer))
    port = await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, channel
    finally:
        await server.stop()


async def failure(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    """Return code, message and unpacked details of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    error = caught.value
    details = {}
    status = rpc_status.from_call(error)
    for packed in status.details if status else []:
        for kind in (ErrorInfo, BadRequest, LocalizedMessage, RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                details[kind.__name__] = kind.FromString(packed.value)
    return error.code(), error.details() or "", details


async def test_service_error_reaches_client_with_all_details() -> None:
    """A refusal carries code, reason, field, Chinese text and when to try again."""

    async def answer(_: Any) -> Any:
        raise BufferFullError(
            "buffer full",
            "缓冲区已满",
            metadata={"family": "registration"},
            violations=[FieldViolation("event.envelope", "wrong", "错误", "some.rule")],
        )

    async with serving(answer) as (_, channel):
        stub = stubs.RegistrationIntakeServiceStub(channel)
        code, message, details = await failure(stub.Submit(contract.SubmitRequest()))
    assert (code, message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "buffer full")
    assert details["ErrorInfo"].reason == "BUFFER_FULL"
    assert details["ErrorInfo"].domain == "market-supervision"
    assert details["BadRequest"].field_violations[0].field == "event.envelope"
    assert details["LocalizedMessage"].message == "缓冲区已满"
    assert details["RetryInfo"].retry_delay.seconds == 1


async def test_many_long_violations_still_fit_into_the_status() -> None:
    """However much is wrong with a request, the client gets the details and not a broken call."""

    async def answer(_: Any) -> Any:
        violations = [FieldViolation(f"field{n}", "x" * 150, "错" * 100) for n in range(500)]
        raise FieldInvalidError("x" * 9_000, "错" * 9_000, violations=violations)

    async with serving(answer) as (_, channel):
        stub = stubs.RegistrationIntakeServiceStub(channel)
        code, _, details = await failure(stub.Submit(contract.SubmitRequest()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details["BadRequest"].field_violations[0].field == "field0"


async def test_defect_is_told_and_logged_without_its_text() -> None:
    """An unexpected exception answers INTERNAL; answer and log say nothing of what it held."""

    async def answer(_: Any) -> Any:
        try:
            return dict[str, Any]()[SECRET]
        except KeyError as error:
            raise ValueError(f"bad {SECRET}") from error

    with capture_logs() as lines:
        async with serving(answer) as (_, channel):
            stub = stubs.RegistrationIntakeServiceStub(channel)
            code, message, details = await failure(stub.Submit(contract.SubmitRequest()))
    assert code is grpc.StatusCode.INTERNAL
    assert details["ErrorInfo"].reason == "INTERNAL"
    assert SECRET not in message + str(details)
    (line,) = [line for line in lines if line["event"] == "call_failed"]
    assert line["kind"] == "builtins.ValueError"
    assert line["causes"][0]["kind"] == "builtins.KeyError"
    assert "test_grpc_server.py" in line["frames"][-1]
    assert SECRET not in str(line)


async def test_defect_in_the_middle_of_a_stream_ends_it_with_a_status() -> None:
    """A stream keeps what it answered before a defect and then ends with INTERNAL."""
    answered = []

    async def answer(_: Any) -> Any:
        answered.append(1)
        if len(answered) > 1:
            raise ValueError("defect")
        return contract.StreamSubmitResponse()

    async with serving(answer) as (_, channel):
        call = stubs.RegistrationIntakeServiceStub(channel).StreamSubmit()
        await call.write(contract.StreamSubmitRequest())
        assert await call.read() == contract.StreamSubmitResponse()
        await call.write(contract.StreamSubmitRequest())
        code, _, details = await failure(call.read())
    assert code is grpc.StatusCode.INTERNAL
    assert details["ErrorInfo"].reason == "INTERNAL"


@pytest.mark.parametrize("streaming", [False, True])
async def test_oversize_request_is_refused_with_reason(*, streaming: bool) -> None:
    """A request above the limit is refused by name and never reaches the servicer."""
    reached = []

    async def answer(request: Any) -> Any:
        reached.append(request)
        return contract.SubmitResponse()

    filler = "x" * (MESSAGE_BYTES_MAX + 1)
    async with serving(answer) as (_, channel):
        stub = stubs.RegistrationIntakeServiceStub(channel)
        if streaming:
            call = stub.StreamSubmit()
            request = contract.StreamSubmitRequest()
            request.event.envelope.source_system = filler
            await call.write(request)
            code, _, details = await failure(call.read())
        else:
            unary = contract.SubmitRequest()
            unary.event.envelope.source_system = filler
            code, _, details = await failure(stub.Submit(unary))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "MESSAGE_TOO_LARGE"
    assert reached == []


async def test_slow_unary_call_ends_at_the_servers_limit() -> None:
    """A caller without a deadline does not hold a call for ever."""

    async def answer(_: Any) -> Any:
        await asyncio.sleep(30)

    async with serving(answer, unary_seconds_max=0.05) as (_, channel):
        stub = stubs.RegistrationIntakeServiceStub(channel)
        code, message, _ = await failure(stub.Submit(contract.SubmitRequest()))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.05 s" in message


async def test_health_follows_set_serving_and_reflection_lists_the_service() -> None:
    """Health says NOT_SERVING until told otherwise; a client without stubs finds the service."""

    async def answer(_: Any) -> Any:
        return contract.SubmitResponse()

    states = []
    async with serving(answer) as (server, channel):
        health = health_pb2_grpc.HealthStub(channel)
        for serving_now in (False, True):
            await server.set_serving(serving=serving_now)
            request = health_pb2.HealthCheckRequest(service=DESCRIPTOR.full_name)
            states.append((await health.Check(request)).status)
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = await call.read()
        await call.done_writing()
    response = health_pb2.HealthCheckResponse
    assert states == [response.NOT_SERVING, response.SERVING]
    names = [service.name for service in listed.list_services_response.service]
    assert DESCRIPTOR.full_name in names


async def test_ready_file_names_the_port_while_the_server_runs(tmp_path: Path) -> None:
    """A supervisor learns the port the operating system chose from the ready file."""

    async def answer(_: Any) -> Any:
        return contract.SubmitResponse()

    ready = tmp_path / "ready.json"
    async with serving(answer, ready_file=ready) as (_, channel):
        port = json.loads(ready.read_text())["port"]
        async with aio.insecure_channel(f"127.0.0.1:{port}") as second:
            await stubs.RegistrationIntakeServiceStub(second).Submit(contract.SubmitRequest())
        await channel.channel_ready()
    assert not ready.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::"])  # noqa: S104
def test_address_beyond_this_machine_is_refused(host: str) -> None:
    """Without a policy nothing listens beyond loopback."""
    with pytest.raises(ConfigurationError, match="not loopback"):
        GrpcServer(GrpcServerSettings(host=host), service="profiles")


async def test_port_in_use_is_a_configuration_error() -> None:
    """A second server on the same port fails at start, and does not share it silently."""

    async def answer(_: Any) -> Any:
        return contract.SubmitResponse()

    async with serving(answer) as (server, channel):
        await channel.channel_ready()
        port = server.port
        second = GrpcServer(GrpcServerSettings(port=port), service="other")
        with pytest.raises(ConfigurationError, match=str(port)):
            await second.start()
