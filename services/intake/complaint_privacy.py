"""No person and no free text in complaints and reports (投诉举报隐私保护). Pure.

The contract of the family has no field for either. But any text can be misused: an upstream may put
a caller's name or telephone number into a record number. So every text of an event is a code here:
ASCII letters, digits and a few signs, without blanks.
"""

import re
from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.contracts.families import FamilyEvent
from services.contracts.identifiers import REGNO, USCC
from services.contracts.labels import Label
from services.intake.violations import Violation, violation

FAMILY: Final = "complaints"
CODE: Final = re.compile(r"[A-Za-z0-9._:/#()-]*")
JUDGED_ELSEWHERE: Final = frozenset(
    {
        # Names of systems and schemes must be registered ones.
        "code_system",
        "scheme",
        # A name, by its nature: see _stated_name.
        "stated_entity_name",
    }
)
NAMED_SCHEMES: Final = frozenset({USCC, REGNO})
"""Schemes of entities whose registered name is known: a complaint has no need to state one."""

_FIELD = ErrorReason.ERROR_REASON_FIELD_INVALID
_NO_CODE = Label(
    zh="投诉举报中只能填代码 (字母、数字和 . _ : / # ( ) -), 不得含空白、姓名或说明文字",
    en="complaints hold codes only (letters, digits and . _ : / # ( ) -): no blanks, names or text",
)
_NAME_KNOWN = Label(
    zh="主体已登记, 投诉举报中不得另填名称",
    en="the entity is registered: a complaint must not state a name for it",
)


def privacy_violations(event: FamilyEvent) -> list[Violation]:
    """Return every text of a complaint or report that is no code; its keys are normalised."""
    found = [
        # The value is not repeated: it is what must go no further.
        violation(path, "", _FIELD, _NO_CODE)
        for path, text in _texts(event, "")
        if not CODE.fullmatch(text)
    ]
    envelope = event.envelope
    if envelope.stated_entity_name and envelope.entity_key.scheme in NAMED_SCHEMES:
        found.append(violation("envelope.stated_entity_name", "", _FIELD, _NAME_KNOWN))
    return found


def _texts(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if field.name in JUDGED_ELSEWHERE:
            continue
        values = (
            [(f"{prefix}{field.name}[{index}]", each) for index, each in enumerate(value)]
            if field.is_repeated
            else [(f"{prefix}{field.name}", value)]
        )
        for path, each in values:
            if field.type == FieldDescriptor.TYPE_STRING:
                yield path, each
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _texts(each, f"{path}.")
