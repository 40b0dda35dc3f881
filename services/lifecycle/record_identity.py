"""What makes an alert record or a dead letter the same one when the log is folded again. Pure."""

from collections.abc import Callable

from market_supervision.alerts.v1.alert_pb2 import AlertRecord

from services.lifecycle.dead_letter import place_of
from services.streaming.interface import SideRecord


def record_identity(alerts_topic: str) -> Callable[[SideRecord], bytes]:
    """Identify alert records by their id, dead letters by the place of the record they are of."""

    def identity(record: SideRecord) -> bytes:
        if record.topic == alerts_topic:
            return AlertRecord.FromString(record.value).alert_event_id.encode()
        return place_of(record)

    return identity
