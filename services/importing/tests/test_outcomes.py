"""A refusal is a row's fault or the moment's; only the first ends in the rejects file."""

import pytest
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from market_supervision.common.v1.error_reason_pb2 import ErrorReason
from market_supervision.intake.v1.intake_pb2 import (
    Receipt,
    Refusal,
    SubmissionOutcome,
    UnknownOutcome,
)

from services.contracts.labels import Label
from services.importing.errors import RowProblem
from services.importing.outcomes import Accepted, Refused, SendAgain, read_outcome, read_refusal


def status(code: int, *details: Message) -> Status:
    """Return a status with details."""
    result = Status(code=code, message="told")
    for detail in details:
        result.details.add().Pack(detail)
    return result


@pytest.mark.parametrize("reason", ["BUFFER_FULL", "OUTCOME_UNKNOWN", "NOT_READY", "INTERNAL"])
def test_refusal_of_the_moment_is_sent_again(reason: str) -> None:
    """A full buffer says nothing against the event."""
    assert isinstance(
        read_refusal(status(Code.RESOURCE_EXHAUSTED, ErrorInfo(reason=reason))), SendAgain
    )


def test_reasons_named_here_are_those_of_the_contract() -> None:
    """A reason renamed in the contract would turn a pause into a reject."""
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118
    named = {"BUFFER_FULL", "OUTCOME_UNKNOWN", "NOT_READY", "INTERNAL", "TOO_MANY_STREAMS"}
    assert named <= names


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED])
def test_refusal_without_a_reason_is_judged_by_its_code(code: int) -> None:
    """A proxy in between sends codes without details."""
    assert isinstance(read_refusal(status(code)), SendAgain)
    assert isinstance(read_refusal(status(Code.INVALID_ARGUMENT)), Refused)


def test_refusal_of_fields_names_each_in_both_languages() -> None:
    """Every violation becomes a problem of its own."""
    violation = BadRequest.FieldViolation(
        field="envelope.matter_id",
        description="too long",
        localized_message=LocalizedMessage(locale="zh-CN", message="过长"),
    )
    bad = BadRequest(field_violations=[violation])
    found = read_refusal(status(Code.INVALID_ARGUMENT, ErrorInfo(reason="FIELD_INVALID"), bad))
    assert found == Refused((RowProblem("envelope.matter_id", "", Label("过长", "too long")),))


def test_conflict_is_a_problem_of_the_row() -> None:
    """Other content under a version that was taken cannot be cured by sending again."""
    chinese = LocalizedMessage(locale="zh-CN", message="冲突")
    conflict = ErrorInfo(reason="SOURCE_VERSION_CONFLICT")
    found = read_refusal(status(Code.ALREADY_EXISTS, conflict, chinese))
    problem = RowProblem("SOURCE_VERSION_CONFLICT", "", Label("冲突", "told"))
    assert found == Refused((problem,))


def test_outcome_of_each_kind_is_read() -> None:
    """Receipt, refusal and unknown; an answer without any is unknown."""
    receipt = Receipt(offset=7)
    assert read_outcome(SubmissionOutcome(receipt=receipt)) == Accepted(receipt)
    refusal = Refusal(status=status(Code.INVALID_ARGUMENT))
    assert isinstance(read_outcome(SubmissionOutcome(refusal=refusal)), Refused)
    unknown = UnknownOutcome(status=status(Code.UNAVAILABLE))
    assert read_outcome(SubmissionOutcome(unknown=unknown)) == SendAgain("told")
    assert isinstance(read_outcome(SubmissionOutcome()), SendAgain)
