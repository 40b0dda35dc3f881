"""CloudEvents 1.0 headers, Kafka binding, binary mode, derived from the payload.

For outsiders only: the payload is self-contained, and nothing in this system reads these headers.
Names and values follow the CloudEvents SDK, against which they are tested.
"""

from datetime import datetime, timedelta, timezone

from services.contracts.event_types import event_type_of
from services.contracts.families import FamilyEvent
from services.contracts.identifiers import canonical_key

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"
SOURCE_PREFIX = "/sources/"
DATA_SCHEMA_PREFIX = "urn:market-supervision:proto:"


def cloud_event_headers(event: FamilyEvent) -> list[tuple[str, bytes]]:
    """Return the headers of an event as it goes on its topic.

    `ce_time` is event_time at the offset the source stated it in, to the microsecond. Raises
    ValueError when event_id is not set, or an asserted event has no body.
    """
    envelope = event.envelope
    if not envelope.event_id:
        message = "the event id is derived before the headers are"
        raise ValueError(message)
    zone = timezone(timedelta(minutes=envelope.utc_offset_minutes))
    attributes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": envelope.event_id,
        "ce_type": event_type_of(event).cloud_event_type,
        "ce_source": SOURCE_PREFIX + envelope.source_system,
        "ce_time": _rfc3339(envelope.event_time.ToDatetime(tzinfo=zone)),
        "ce_subject": canonical_key(envelope.entity_key),
        "ce_dataschema": DATA_SCHEMA_PREFIX + event.DESCRIPTOR.full_name,
        "content-type": CONTENT_TYPE,
    }
    return [(name, value.encode()) for name, value in attributes.items()]


def _rfc3339(moment: datetime) -> str:
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
