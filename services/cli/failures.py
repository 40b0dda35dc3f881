"""What went wrong, told alike by every command (错误提示)."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from kafka.errors import KafkaError

from services.cli.exit_codes import ExitCode
from services.cli.output import fail
from services.runtime.kafka_topics import TooFewBrokersError
from services.streaming.meta import MetaError

_CODES = {
    grpc.StatusCode.NOT_FOUND: ExitCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.USAGE,
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.UNREACHABLE,
}


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors of services and broker, and unreadable positions, into a message and a code."""
    try:
        yield
    except grpc.RpcError as error:
        code = error.code()
        fail(f"{code.name}: {describe(error)}", _CODES.get(code, ExitCode.FAILED))
    except KafkaError as error:
        message = f"the broker cannot be used (消息系统不可用): {type(error).__name__}: {error}"
        fail(message, ExitCode.UNREACHABLE)
    except TooFewBrokersError as error:
        fail(str(error), ExitCode.USAGE)
    except MetaError as error:
        fail(str(error), ExitCode.FAILED)


def describe(error: grpc.RpcError) -> str:
    """Return a call's error with reason, Chinese text and field violations, where it has them."""
    return describe_status(rpc_status.from_call(error)) or str(error.details())


def describe_status(status: Status | None) -> str:
    """Return a status in words; empty when there is none."""
    if status is None:
        return ""
    told = [status.message]
    for detail in status.details:
        info, localized, bad = ErrorInfo(), LocalizedMessage(), BadRequest()
        if detail.Unpack(info):
            told.insert(0, f"[{info.reason}]")
        elif detail.Unpack(localized):
            told.append(f"({localized.message})")
        elif detail.Unpack(bad):
            told += [f"\n  {one.field}: {one.description}" for one in bad.field_violations]
    return " ".join(told)
