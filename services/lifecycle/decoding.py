"""From a record of an event topic to an event that may be folded, or the reason why not. Pure."""

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_ASSERTED,
    DISPOSITION_MOVED,
    DISPOSITION_WITHDRAWN,
)

from services.contracts.families import Family, FamilyEvent
from services.contracts.identifiers import (
    IdentifierError,
    canonical_key,
    check_canonical,
    parse_matter_id,
)
from services.lifecycle.folding.facts import InvalidEventError
from services.lifecycle.folding.handlers import FOLDS
from services.streaming.interface import SourceRecord

PAYLOAD_HASH_HEADER = "payload-hash"
_DISPOSITIONS = frozenset({DISPOSITION_ASSERTED, DISPOSITION_WITHDRAWN, DISPOSITION_MOVED})


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """An event fit to be folded."""

    family: Family
    event: FamilyEvent
    entity_key: str
    payload_hash: bytes


def decode(record: SourceRecord, family: Family) -> DecodedEvent:
    """Decode and guard one record; InvalidEventError names what is wrong with it."""
    if record.value is None:
        raise InvalidEventError("VALUE_MISSING", "the record has no value", "记录没有内容")
    try:
        event = family.parse(record.value)
    except DecodeError as error:
        raise InvalidEventError(
            "NOT_AN_EVENT",
            f"not a {family.message_class.DESCRIPTOR.full_name}: {error}",
            f"无法解析为{family.label.zh}事件",
        ) from error
    entity_key = _guard(record, family, event)
    return DecodedEvent(family, event, entity_key, _payload_hash(record, event))


def _guard(record: SourceRecord, family: Family, event: FamilyEvent) -> str:
    envelope = event.envelope
    if envelope.disposition not in _DISPOSITIONS:
        raise _invalid("envelope.disposition", envelope.disposition, "unknown", "未知的处置方式")
    if not (envelope.source_system and envelope.source_record_id and envelope.event_id):
        raise _invalid("envelope", "", "source key or event id missing", "缺少来源标识或事件编号")
    if "|" in envelope.source_system or envelope.source_version < 1:
        raise _invalid("envelope.source_system", envelope.source_system, "invalid", "来源无效")
    if not envelope.HasField("event_time"):
        raise _invalid("envelope.event_time", "", "missing", "缺少发生时间")
    entity_key = canonical_key(envelope.entity_key)
    try:
        check_canonical(envelope.entity_key.scheme)
        check_canonical(envelope.entity_key.value)
        parse_matter_id(envelope.matter_id)
        check_canonical(envelope.matter_id)
    except IdentifierError as error:
        raise InvalidEventError("IDENTIFIER_INVALID", str(error), error.reason.zh) from error
    if record.key != entity_key.encode():
        raise _invalid("key", record.key, f"is not {entity_key}", "消息键与主体标识不符")
    arm = event.WhichOneof("body")
    if arm is None and envelope.disposition == DISPOSITION_ASSERTED:
        # Also an event type this release does not know: it waits here until one does.
        raise _invalid("body", "", "no event type known to this release", "缺少或未知的事件类型")
    if arm is not None and (family.name, arm) not in FOLDS:
        raise _invalid("body", arm, "no fold for this event type", "事件类型无法归集")
    return entity_key


def _payload_hash(record: SourceRecord, event: FamilyEvent) -> bytes:
    for name, value in record.headers:
        if name == PAYLOAD_HASH_HEADER:
            try:
                return bytes.fromhex(value.decode())
            except ValueError:
                break
    raise _invalid(
        PAYLOAD_HASH_HEADER,
        event.envelope.event_id,
        "missing or not hexadecimal",
        "缺少报文摘要或格式不符",
    )


def _invalid(field: str, value: object, en: str, zh: str) -> InvalidEventError:
    return InvalidEventError(
        "EVENT_INVALID", f"{field}: {value!r}: {en}", f"{field}:{value!r}:{zh}"
    )
