"""Timeline entries (时间线): one a fact, in its latest version. Pure."""

import hashlib
from functools import cache

from market_supervision.common.v1.localized_text_pb2 import LocalizedText
from market_supervision.profiles.v1.entity_profile_pb2 import TimelineEntry

from services.contracts.event_types import EventType, event_type_as
from services.lifecycle.decoding import DecodedEvent
from services.lifecycle.folding.encoding import encoded
from services.streaming.interface import SideRecord


def slot_hash(source_system: str, source_record_id: str, matter_id: str) -> str:
    """Name of a slot of a matter: 32 hex characters."""
    text = f"{source_system}\x00{source_record_id}\x00{matter_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def timeline_record(topic: str, decoded: DecodedEvent) -> SideRecord:
    """The timeline record of an event that was folded. A correction overwrites by key."""
    envelope, matter_id = decoded.envelope, decoded.matter_id
    source_system, source_record_id = envelope.source_system, envelope.source_record_id
    entry_id = slot_hash(source_system, source_record_id, matter_id)
    event_type = event_type_as(decoded.family, decoded.arm, envelope.disposition)
    entry = TimelineEntry(
        entry_id=entry_id,
        event_id=envelope.event_id,
        event_type=event_type.cloud_event_type,
        label=_label_of(event_type),
        event_time=envelope.event_time,
        record_time=envelope.record_time if envelope.HasField("record_time") else None,
        matter_id=matter_id,
        source_system=source_system,
        source_record_id=source_record_id,
        source_version=envelope.source_version,
        disposition=envelope.disposition,
        utc_offset_minutes=envelope.utc_offset_minutes,
    )
    return SideRecord(topic, f"{decoded.entity_key}|{entry_id}".encode(), encoded(entry))


@cache
def _label_of(event_type: EventType) -> LocalizedText:
    return LocalizedText(zh=event_type.label.zh, en=event_type.label.en)
