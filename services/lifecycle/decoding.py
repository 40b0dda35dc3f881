"""From a record of an event topic to an event that may be folded, or the reason why not. Pure."""

from typing import NamedTuple

from google.protobuf.message import DecodeError
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_ASSERTED,
    DISPOSITION_MOVED,
    DISPOSITION_WITHDRAWN,
    EventEnvelope,
)

from services.contracts import state_keys
from services.contracts.families import BODY_ONEOF, FAMILIES, Family, FamilyEvent
from services.contracts.identifiers import (
    IdentifierError,
    check_canonical,
    parse_matter_id,
)
from services.lifecycle.folding.facts import InvalidEventError, content_error
from services.lifecycle.folding.handlers import FOLDS
from services.streaming.interface import SourceRecord

PAYLOAD_HASH_HEADER = "payload-hash"
EVENT_BYTES_MAX = 1024 * 1024
"""Largest event, uncompressed: the record limit of the event topics, which a batch compressed by
another producer may get past."""
IDENTIFIER_BYTES_MAX = 512
"""Largest entity key, matter id and source identifier: they stand in keys of the state."""
AMOUNT_FEN_MAX = 1_000_000_000_000_000
"""Largest amount of one event; the contract's own bound, for events that came past an intake."""
_EVENT_SECONDS = (-2_208_988_800, 10_413_792_000)
"""1900 to 2300, UTC: beyond, civil days cannot be computed in every zone."""
_SHOWN_CHARACTERS = 200
_DISPOSITIONS = frozenset({DISPOSITION_ASSERTED, DISPOSITION_WITHDRAWN, DISPOSITION_MOVED})


class DecodedEvent(NamedTuple):
    """An event fit to be folded, with what everybody asks of it read once."""

    family: Family
    event: FamilyEvent
    envelope: EventEnvelope
    arm: str | None
    """None of a record taken back."""
    entity_key: str
    matter_id: str
    event_time_ms: int
    payload_hash: bytes
    entity_state_key: bytes
    """Key of the entity's state."""
    matter_key: bytes
    """Key of the matter's state."""

    @classmethod
    def of(
        cls, family: Family, event: FamilyEvent, entity_key: str, payload_hash: bytes
    ) -> "DecodedEvent":
        """Read what is asked; ValueError for a time that is none."""
        envelope = event.envelope
        matter_id = envelope.matter_id
        return cls(
            family,
            event,
            envelope,
            event.WhichOneof("body"),
            entity_key,
            matter_id,
            envelope.event_time.ToMilliseconds(),
            payload_hash,
            state_keys.entity_state(entity_key),
            state_keys.matter_state(entity_key, matter_id),
        )


def decode(record: SourceRecord, family: Family) -> DecodedEvent:
    """Decode and guard one record; InvalidEventError names what is wrong with it."""
    if record.value is None:
        raise InvalidEventError("VALUE_MISSING", "the record has no value", "记录没有内容")
    if len(record.value) > EVENT_BYTES_MAX:
        en = f"{len(record.value)} bytes, at most {EVENT_BYTES_MAX} fit"
        raise content_error("value", en, f"共{len(record.value)}字节,上限{EVENT_BYTES_MAX}字节")
    try:
        event = family.parse(record.value)
    except DecodeError as error:
        raise InvalidEventError(
            "NOT_AN_EVENT",
            f"not a {family.message_class.DESCRIPTOR.full_name}: {error}",
            f"无法解析为{family.label.zh}事件",
        ) from error
    event.DiscardUnknownFields()  # they would be copied into the state, whatever they are
    try:
        entity_key = _guard(record, family, event)
        _guard_amounts(event)
        return DecodedEvent.of(family, event, entity_key, _payload_hash(record, event))
    except (ValueError, OverflowError) as error:
        shown = str(error)[:_SHOWN_CHARACTERS]
        raise content_error("value", shown, f"内容超出可处理范围({shown})") from error


def _guard(record: SourceRecord, family: Family, event: FamilyEvent) -> str:
    envelope = event.envelope
    if envelope.disposition not in _DISPOSITIONS:
        raise _invalid("envelope.disposition", envelope.disposition, "unknown", "未知的处置方式")
    if not (envelope.source_system and envelope.source_record_id and envelope.event_id):
        raise _invalid("envelope", "", "source key or event id missing", "缺少来源标识或事件编号")
    if "|" in envelope.source_system or envelope.source_version < 1:
        raise _invalid("envelope.source_system", envelope.source_system, "invalid", "来源无效")
    _guard_event_time(envelope)
    entity_key = _guard_identifiers(envelope)
    if record.key != entity_key.encode():
        raise _invalid("key", record.key, f"is not {entity_key}", "消息键与主体标识不符")
    arm = event.WhichOneof("body")
    if arm is None and envelope.disposition == DISPOSITION_ASSERTED:
        # Also an event type this release does not know: it waits here until one does.
        raise _invalid("body", "", "no event type known to this release", "缺少或未知的事件类型")
    if arm is not None and (family.name, arm) not in FOLDS:
        raise _invalid("body", arm, "no fold for this event type", "事件类型无法归集")
    return entity_key


def _guard_event_time(envelope: EventEnvelope) -> None:
    if not envelope.HasField("event_time"):
        raise _invalid("envelope.event_time", "", "missing", "缺少发生时间")
    low, high = _EVENT_SECONDS
    time = envelope.event_time
    seconds = time.seconds
    if not low <= seconds < high or time.nanos >= 10**9:
        raise content_error(
            "envelope.event_time",
            f"{seconds} s since 1970 is not a moment of the years 1900 to 2299",
            f"1970年起第{seconds}秒不在1900至2299年之间",
        )


def _guard_identifiers(envelope: EventEnvelope) -> str:
    """The canonical entity key."""
    key, matter_id = envelope.entity_key, envelope.matter_id
    scheme, value = key.scheme, key.value
    entity_key = f"{scheme}:{value}"
    source_key = f"{envelope.source_system}|{envelope.source_record_id}|{envelope.event_id}"
    for identifier in (entity_key, matter_id, source_key):
        if len(identifier.encode()) > IDENTIFIER_BYTES_MAX:
            raise _invalid("identifier", identifier, "too long", "标识过长")
    try:
        check_canonical(scheme)
        check_canonical(value)
        parse_matter_id(matter_id)
        check_canonical(matter_id)
    except IdentifierError as error:
        en, zh = str(error)[:_SHOWN_CHARACTERS], error.reason.zh[:_SHOWN_CHARACTERS]
        raise InvalidEventError("IDENTIFIER_INVALID", en, zh) from error
    return entity_key


_AMOUNTS: dict[str, dict[str, tuple[str, ...]]] = {
    family.message_class.DESCRIPTOR.full_name: {
        arm.name: tuple(
            field.name for field in arm.message_type.fields if field.name.endswith("amount_fen")
        )
        for arm in family.message_class.DESCRIPTOR.oneofs_by_name[BODY_ONEOF].fields
        if arm.message_type is not None
    }
    for family in FAMILIES
}
"""Event message → arm → fields that hold an amount in fen."""


def _guard_amounts(event: FamilyEvent) -> None:
    arm = event.WhichOneof("body")
    if arm is None:
        return
    for name in _AMOUNTS[event.DESCRIPTOR.full_name][arm]:
        value = getattr(getattr(event, arm), name)
        if not 0 <= value <= AMOUNT_FEN_MAX:
            en = f"{value} is not from 0 to {AMOUNT_FEN_MAX}"
            raise content_error(name, en, f"{value}不在0至{AMOUNT_FEN_MAX}之间")


def _payload_hash(record: SourceRecord, event: FamilyEvent) -> bytes:
    for name, value in record.headers:
        if name == PAYLOAD_HASH_HEADER and value is not None:
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
    shown = repr(value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}…"
    return InvalidEventError("EVENT_INVALID", f"{field}: {shown}: {en}", f"{field}:{shown}:{zh}")
