"""Reading a service's answer to one event: taken, refused, or to be sent again (处理结果)."""

from dataclasses import dataclass

from google.protobuf.any_pb2 import Any
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from market_supervision.intake.v1.intake_pb2 import Receipt, SubmissionOutcome

from services.contracts.labels import Label
from services.importing.errors import RowProblem

# Nothing is wrong with the event itself: the same event may be taken a moment later.
_AGAIN_REASONS = frozenset(
    {"BUFFER_FULL", "OUTCOME_UNKNOWN", "NOT_READY", "INTERNAL", "TOO_MANY_STREAMS"}
)
_AGAIN_CODES = frozenset(
    {Code.UNAVAILABLE, Code.INTERNAL, Code.ABORTED, Code.DEADLINE_EXCEEDED, Code.UNKNOWN}
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The event is on the log."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Refused:
    """The event will never be taken as it is."""

    problems: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class SendAgain:
    """It is not known whether the event is on the log, or it could not be taken just now."""

    message: str


Final = Accepted | Refused


def read_outcome(outcome: SubmissionOutcome) -> Final | SendAgain:
    """Return what became of an event."""
    kind = outcome.WhichOneof("outcome")
    if kind == "receipt":
        return Accepted(outcome.receipt)
    if kind == "refusal":
        return read_refusal(outcome.refusal.status)
    return SendAgain(outcome.unknown.status.message or "no outcome in the answer")


def read_refusal(status: Status) -> Refused | SendAgain:
    """Return what a refusal means: a problem of the row, or of the moment."""
    reason = ""
    chinese = ""
    violations: list[BadRequest.FieldViolation] = []
    for detail in status.details:
        if isinstance(unpacked := _unpack(detail), ErrorInfo):
            reason = unpacked.reason.removeprefix("ERROR_REASON_")
        elif isinstance(unpacked, LocalizedMessage):
            chinese = unpacked.message
        elif isinstance(unpacked, BadRequest):
            violations.extend(unpacked.field_violations)
    if reason in _AGAIN_REASONS or (not reason and status.code in _AGAIN_CODES):
        return SendAgain(status.message)
    if not violations:
        return Refused((RowProblem(reason or "-", "", Label(chinese, status.message)),))
    return Refused(tuple(_problem(violation, chinese) for violation in violations))


def _problem(violation: BadRequest.FieldViolation, whole_chinese: str) -> RowProblem:
    chinese = violation.localized_message.message or whole_chinese
    return RowProblem(violation.field, "", Label(chinese, violation.description))


def _unpack(detail: Any) -> ErrorInfo | LocalizedMessage | BadRequest | None:
    for kind in (ErrorInfo(), LocalizedMessage(), BadRequest()):
        if detail.Unpack(kind):
            return kind
    return None
