"""One answer for everything that goes wrong in a call: status, details, log line."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from services.runtime.call_metrics import CallFigures
from services.runtime.errors import InternalError, MessageTooLargeError, ServiceError, status_of
from services.runtime.logging import get_logger, origin_of

DETAILS_METADATA = "grpc-status-details-bin"

Handler = Any
"""grpc.RpcMethodHandler: its type tells nothing of which of the four kinds it holds."""

log = get_logger(__name__)


class StatusInterceptor(aio.ServerInterceptor):
    """Turns exceptions of servicers into google.rpc statuses, and holds calls to their limits.

    A ServiceError is told to the caller with its details. Any other exception is a defect: it is
    logged with its type and the lines it came through, and told as INTERNAL; its text, which may
    quote a request, is kept from both.
    Requests larger than ``message_bytes_max`` are refused with MESSAGE_TOO_LARGE; a call with a
    single answer that takes longer than ``unary_seconds_max`` ends with DEADLINE_EXCEEDED.
    """

    def __init__(
        self, *, message_bytes_max: int, unary_seconds_max: float, figures: CallFigures
    ) -> None:
        self._message_bytes_max = message_bytes_max
        self._unary_seconds_max = unary_seconds_max
        self._figures = figures

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of a call; None when nobody serves the method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        codecs = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.response_streaming:
            behaviour = handler.stream_stream or handler.unary_stream
            wrapped = self._streaming_answer(method, behaviour, handler.request_streaming)
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(wrapped, **codecs)
            return grpc.unary_stream_rpc_method_handler(wrapped, **codecs)
        behaviour = handler.stream_unary or handler.unary_unary
        single = self._single_answer(method, behaviour, handler.request_streaming)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(single, **codecs)
        return grpc.unary_unary_rpc_method_handler(single, **codecs)

    def _single_answer(self, method: str, behaviour: Any, request_streaming: bool) -> Any:  # noqa: FBT001 - mirrors the handler's own flag
        async def answer(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            async with self._reporting(method, context, streaming=False):
                if request_streaming:
                    return await behaviour(self._checked_stream(request), context)
                self._check_size(request)
                scope = asyncio.timeout(self._unary_seconds_max)
                try:
                    async with scope:
                        return await behaviour(request, context)
                except TimeoutError:
                    if not scope.expired():
                        raise
                    limit = f"not answered within {self._unary_seconds_max:g} s (处理超时)"
                    await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, limit)

        return answer

    def _streaming_answer(self, method: str, behaviour: Any, request_streaming: bool) -> Any:  # noqa: FBT001 - mirrors the handler's own flag
        def checked(request: Any) -> Any:
            if request_streaming:
                return self._checked_stream(request)
            self._check_size(request)
            return request

        if inspect.isasyncgenfunction(behaviour):

            async def generate(
                request: Any, context: aio.ServicerContext[Any, Any]
            ) -> AsyncIterator[Any]:
                async with self._reporting(method, context, streaming=True):
                    async for response in behaviour(checked(request), context):
                        yield response

            return generate

        async def write(request: Any, context: aio.ServicerContext[Any, Any]) -> None:
            async with self._reporting(method, context, streaming=True):
                await behaviour(checked(request), context)

        return write

    async def _checked_stream(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        async for request in requests:
            self._check_size(request)
            yield request

    def _check_size(self, request: Message) -> None:
        size = request.ByteSize()
        if size > self._message_bytes_max:
            raise MessageTooLargeError(
                f"request of {size} bytes; at most {self._message_bytes_max} are taken",
                f"请求为 {size} 字节，超过上限 {self._message_bytes_max} 字节",
                metadata={"bytes": str(size), "bytes_max": str(self._message_bytes_max)},
            )

    @asynccontextmanager
    async def _reporting(
        self, method: str, context: aio.ServicerContext[Any, Any], *, streaming: bool
    ) -> AsyncIterator[None]:
        began = self._figures.begun(method)
        code = grpc.StatusCode.OK
        try:
            yield
        except ServiceError as error:
            code = error.code
            # Not its text: that may quote a request.
            log.info("call_refused", method=method, code=error.code.name, kind=type(error).__name__)
            await abort(context, error)
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except aio.AbortError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            code = grpc.StatusCode.INTERNAL
            log.error("call_failed", method=method, **origin_of(error))  # noqa: TRY400 - not its text
            await abort(
                context,
                InternalError("internal error; the operator's log has it", "系统内部错误，已记录"),
            )
        finally:
            self._figures.ended(method, code.name, began, streaming=streaming)


async def abort(context: aio.ServicerContext[Any, Any], error: ServiceError) -> None:
    """End the call with an error's status and details; raises, as every abort does."""
    status = status_of(error)
    details = ((DETAILS_METADATA, status.SerializeToString()),)
    await context.abort(error.code, status.message, details)
