"""Turns what is wrong with an event into the error its client is answered (拒收). Pure."""

from collections.abc import Sequence
from types import MappingProxyType

from market_supervision.common.v1.error_reason_pb2 import ErrorReason
from market_supervision.intake.v1.intake_pb2 import Receipt

from services.intake.placement import Entry, SourceKey
from services.intake.violations import Violation
from services.runtime.errors import (
    REASON_PREFIX,
    BufferFullError,
    CodeUnknownError,
    EntityKeyInvalidError,
    EventTimeInFutureError,
    FieldInvalidError,
    FieldViolation,
    MessageTooLargeError,
    NotReadyError,
    OutcomeUnknownError,
    ServiceError,
    SourceVersionConflictError,
)

_ERROR_BY_REASON: MappingProxyType[ErrorReason.ValueType, type[ServiceError]] = MappingProxyType(
    {
        ErrorReason.ERROR_REASON_FIELD_INVALID: FieldInvalidError,
        ErrorReason.ERROR_REASON_CODE_UNKNOWN: CodeUnknownError,
        ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID: EntityKeyInvalidError,
        ErrorReason.ERROR_REASON_EVENT_TIME_IN_FUTURE: EventTimeInFutureError,
        ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE: MessageTooLargeError,
    }
)


def refusal(family: str, violations: Sequence[Violation]) -> ServiceError:
    """Return the error for an event with these violations, at least one.

    Its reason is the violations' own when they share one, else FIELD_INVALID; each violation
    carries its own in `reason`.
    """
    reasons = {violation.reason for violation in violations}
    shared = reasons.pop() if len(reasons) == 1 else ErrorReason.ERROR_REASON_FIELD_INVALID
    first = violations[0]
    more_en = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    more_zh = f"（另有 {len(violations) - 1} 处）" if len(violations) > 1 else ""
    subject = f"{first.field}: " if first.field else ""
    return _ERROR_BY_REASON[shared](
        f"{subject}{_english(first)}{more_en}",
        f"{subject}{_chinese(first)}{more_zh}",
        metadata={"family": family},
        violations=[
            FieldViolation(
                field=violation.field,
                message_en=_english(violation),
                message_zh=_chinese(violation),
                rule=ErrorReason.Name(violation.reason).removeprefix(REASON_PREFIX),
            )
            for violation in violations
        ],
    )


def _english(violation: Violation) -> str:
    return f"{violation.value!r}: {violation.text.en}" if violation.value else violation.text.en


def _chinese(violation: Violation) -> str:
    return f"“{violation.value}”：{violation.text.zh}" if violation.value else violation.text.zh


def conflict(
    key: SourceKey, submitted_hash: bytes, stored: Entry, receipt: Receipt
) -> SourceVersionConflictError:
    """Return the error for other content under a source version that the log already holds.

    ``stored`` is what the log holds first, ``receipt`` the receipt that stands for it.
    """
    name = f"{key.source_system}/{key.source_record_id}"
    return SourceVersionConflictError(
        f"version {key.source_version} of {name} was accepted with another content; "
        "send a correction under a higher source_version",
        f"{name} 的第 {key.source_version} 版已以其他内容入库；更正请使用更高的 source_version",
        metadata={
            "submitted_payload_hash": submitted_hash.hex(),
            "stored_payload_hash": stored.payload_hash.hex(),
            "event_id": receipt.event_id,
            "topic": receipt.topic,
            "partition": str(receipt.partition),
            "offset": str(receipt.offset),
            "entity_key": receipt.entity_key,
        },
    )


def outcome_unknown(detail: str) -> OutcomeUnknownError:
    """Return the error for an event of which nobody can say yet whether it is on the log."""
    return OutcomeUnknownError(
        f"it is not known whether the event is on the log ({detail}); send the same request again",
        "尚不能确定事件是否已入库；请原样重发，重发不会产生第二次效果",
    )


def not_sent(detail: str) -> NotReadyError:
    """Return the error for an event that was not handed to the broker."""
    return NotReadyError(
        f"the broker cannot be reached, nothing was published ({detail})",
        "消息系统暂不可用，事件未入库；请稍后重发",
    )


def buffer_full() -> BufferFullError:
    """Return the error for an event beyond what may be under way."""
    return BufferFullError(
        "too many events are under way, nothing was published; try again later",
        "在途事件过多，事件未入库；请稍后重发",
    )


def not_ready() -> NotReadyError:
    """Return the error while the intake index has not caught up with the log."""
    return NotReadyError(
        "the intake index is still reading the log, nothing was published",
        "接收索引尚未追上日志，事件未入库；请稍后重发",
    )
