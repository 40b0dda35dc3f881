"""Everything a service refuses or fails with, and the one mapping to google.rpc.Status.

ServiceError
├── InvalidRequestError            INVALID_ARGUMENT
│   ├── FieldInvalidError          FIELD_INVALID
│   ├── CodeUnknownError           CODE_UNKNOWN
│   ├── EntityKeyInvalidError      ENTITY_KEY_INVALID
│   ├── EventTimeInFutureError     EVENT_TIME_IN_FUTURE
│   ├── PageTokenInvalidError      PAGE_TOKEN_INVALID
│   └── CursorInvalidError         CURSOR_INVALID
├── SourceVersionConflictError     ALREADY_EXISTS        SOURCE_VERSION_CONFLICT
├── NotFoundError                  NOT_FOUND
│   ├── EntityNotFoundError        ENTITY_NOT_FOUND
│   └── AlertNotFoundError         ALERT_NOT_FOUND
├── CursorOutOfRangeError          OUT_OF_RANGE          CURSOR_OUT_OF_RANGE
├── OverloadError                  RESOURCE_EXHAUSTED
│   ├── BufferFullError            BUFFER_FULL           with RetryInfo
│   ├── TooManyStreamsError        TOO_MANY_STREAMS      with RetryInfo
│   ├── SubscriberTooSlowError     SUBSCRIBER_TOO_SLOW
│   └── MessageTooLargeError       MESSAGE_TOO_LARGE
├── UnavailableError               UNAVAILABLE
│   ├── OutcomeUnknownError        OUTCOME_UNKNOWN
│   ├── NotReadyError              NOT_READY
│   └── FreshnessNotReachedError   FRESHNESS_NOT_REACHED
└── InternalError                  INTERNAL              INTERNAL
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from google.rpc.status_pb2 import Status
from market_supervision.common.v1 import error_reason_pb2 as reasons

ERROR_DOMAIN = "market-supervision"
REASON_PREFIX = "ERROR_REASON_"
LOCALE_ZH = "zh-CN"
RETRY_DELAY_SECONDS = 1.0
VIOLATIONS_MAX = 10
"""Violations told at once: details travel as metadata, of which clients take 8 KB by default."""
TEXT_CHARACTERS_MAX = 400
"""Length of a message, for the same reason (a Chinese character takes up to nine bytes there)."""
STATUS_BYTES_MAX = 6 * 1024
"""Message and details together as they travel: the rest of the 8 KB is other metadata's."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks a rule: its path, what is wrong in both languages, the rule's id."""

    field: str
    message_en: str
    message_zh: str
    rule: str = ""


class ServiceError(Exception):
    """Base of all; carries what the caller is told.

    ``metadata`` goes into ErrorInfo (short values, no personal data). Classes with
    ``retry_delay_seconds`` ask the caller to wait that long before the next try.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: "ClassVar[reasons.ErrorReason.ValueType]" = reasons.ERROR_REASON_INTERNAL
    retry_delay_seconds: ClassVar[float | None] = None

    def __init__(
        self,
        message_en: str,
        message_zh: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(message_en)
        self.message_en = message_en
        self.message_zh = message_zh
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)


class InvalidRequestError(ServiceError):
    """The request itself is wrong; sending it again unchanged cannot help."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = reasons.ERROR_REASON_FIELD_INVALID


class FieldInvalidError(InvalidRequestError):
    """Fields break rules of the contract; each is named."""


class CodeUnknownError(InvalidRequestError):
    """A code is not in force in the table it names."""

    reason = reasons.ERROR_REASON_CODE_UNKNOWN


class EntityKeyInvalidError(InvalidRequestError):
    """An entity key is not valid in its scheme."""

    reason = reasons.ERROR_REASON_ENTITY_KEY_INVALID


class EventTimeInFutureError(InvalidRequestError):
    """event_time lies more than 24 hours after the intake's clock."""

    reason = reasons.ERROR_REASON_EVENT_TIME_IN_FUTURE


class PageTokenInvalidError(InvalidRequestError):
    """A page token is malformed or belongs to another request."""

    reason = reasons.ERROR_REASON_PAGE_TOKEN_INVALID


class CursorInvalidError(InvalidRequestError):
    """A watch cursor is malformed or not ours."""

    reason = reasons.ERROR_REASON_CURSOR_INVALID


class SourceVersionConflictError(ServiceError):
    """Another content was accepted under the same source key and version."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = reasons.ERROR_REASON_SOURCE_VERSION_CONFLICT


class NotFoundError(ServiceError):
    """What was asked for does not exist; only said when the read model is complete."""

    code = grpc.StatusCode.NOT_FOUND
    reason = reasons.ERROR_REASON_ENTITY_NOT_FOUND


class EntityNotFoundError(NotFoundError):
    """No entity is known under the key."""


class AlertNotFoundError(NotFoundError):
    """No alert has that id."""

    reason = reasons.ERROR_REASON_ALERT_NOT_FOUND


class CursorOutOfRangeError(ServiceError):
    """A watch cursor cannot be honoured: other topic, other filter, or beyond the end."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = reasons.ERROR_REASON_CURSOR_OUT_OF_RANGE


class OverloadError(ServiceError):
    """A bound is reached; nothing was done."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = reasons.ERROR_REASON_BUFFER_FULL


class BufferFullError(OverloadError):
    """The intake's buffer is full; nothing was published."""

    retry_delay_seconds = RETRY_DELAY_SECONDS


class TooManyStreamsError(OverloadError):
    """Too many streams or calls are open."""

    reason = reasons.ERROR_REASON_TOO_MANY_STREAMS
    retry_delay_seconds = RETRY_DELAY_SECONDS


class SubscriberTooSlowError(OverloadError):
    """The subscriber reads too slowly and is cut; it resumes with its last cursor."""

    reason = reasons.ERROR_REASON_SUBSCRIBER_TOO_SLOW


class MessageTooLargeError(OverloadError):
    """A message is larger than the limit."""

    reason = reasons.ERROR_REASON_MESSAGE_TOO_LARGE


class UnavailableError(ServiceError):
    """Not now; the same request may be sent again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = reasons.ERROR_REASON_NOT_READY
    retry_delay_seconds = RETRY_DELAY_SECONDS


class OutcomeUnknownError(UnavailableError):
    """The broker did not answer in time: the event may or may not be on the log."""

    reason = reasons.ERROR_REASON_OUTCOME_UNKNOWN


class NotReadyError(UnavailableError):
    """The index or read model is not complete yet."""


class FreshnessNotReachedError(UnavailableError):
    """The requested freshness was not reached within the deadline."""

    reason = reasons.ERROR_REASON_FRESHNESS_NOT_REACHED


class InternalError(ServiceError):
    """A defect of this system."""


def status_of(error: ServiceError) -> Status:
    """Return the google.rpc.Status of an error, with all its details.

    The message is English; LocalizedMessage holds the Chinese one. Used for unary answers and for
    each refused event of a batch alike. It is at most `STATUS_BYTES_MAX` long: of many violations
    the last are left out, then texts are cut shorter.
    """
    violations = error.violations[:VIOLATIONS_MAX]
    for characters in (TEXT_CHARACTERS_MAX, TEXT_CHARACTERS_MAX // 2, TEXT_CHARACTERS_MAX // 4):
        for told in range(len(violations), min(len(violations), 1) - 1, -1):
            status = _status(error, violations[:told], characters)
            if len(quote(status.message)) + status.ByteSize() <= STATUS_BYTES_MAX:
                return status
    return _status(error, (), TEXT_CHARACTERS_MAX // 4)


def _status(error: ServiceError, violations: Sequence[FieldViolation], characters: int) -> Status:
    name = reasons.ErrorReason.Name(error.reason).removeprefix(REASON_PREFIX)
    status = Status(code=error.code.value[0], message=error.message_en[:characters])
    status.details.add().Pack(ErrorInfo(reason=name, domain=ERROR_DOMAIN, metadata=error.metadata))
    if violations:
        status.details.add().Pack(
            BadRequest(field_violations=[_violation(item, characters) for item in violations])
        )
    status.details.add().Pack(
        LocalizedMessage(locale=LOCALE_ZH, message=error.message_zh[:characters])
    )
    if error.retry_delay_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(int(error.retry_delay_seconds * 1000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def _violation(item: FieldViolation, characters: int) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(
        field=item.field,
        description=item.message_en[:characters],
        reason=item.rule,
        localized_message=LocalizedMessage(locale=LOCALE_ZH, message=item.message_zh[:characters]),
    )
