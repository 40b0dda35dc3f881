"""What alert subscribers write down: one file a subscriber, one JSON object a line.

The first line names the subscription, every further one is a message as it was received::

    {"subscriber": "s0", "start": "earliest", "filter": {...AlertFilter as protobuf JSON...}}
    {"alert_event_ids": ["..."], "cursor": "...", "checkpoint": false, "time_ms": 1764000000000}

A subscriber that lost its connection goes on with the last cursor it wrote down, in the same file.
``start`` is `earliest` or `now`; of a subscriber that begins now, what precedes its first cursor is
not known, so its first message is taken as it is.
"""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from market_supervision.alerts.v1.alert_pb2 import AlertFilter
from market_supervision.alerts.v1.alert_service_pb2 import WatchAlertsResponse

from integration_tests.judge.history import lines_of

EARLIEST, NOW = "earliest", "now"
_BEFORE_POSITIONS = 1 + 16 + 16
_SIGNATURE = 16


class RecordingWriter:
    """Appends what one subscriber receives, a line a write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def subscribed(self, subscriber: str, start: str, wanted: AlertFilter) -> None:
        """Note the subscription, once, before its first message."""
        shown = MessageToDict(wanted, preserving_proto_field_name=True)
        self._write({"subscriber": subscriber, "start": start, "filter": shown})

    def received(self, message: WatchAlertsResponse, time_ms: int) -> None:
        """Note a message before its cursor is used."""
        self._write(
            {
                "alert_event_ids": [record.alert_event_id for record in message.records],
                "cursor": message.cursor,
                "checkpoint": message.checkpoint,
                "time_ms": time_ms,
            }
        )

    def _write(self, document: dict[str, object]) -> None:
        self._file.write(json.dumps(document).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a watch."""

    alert_event_ids: Sequence[str]
    cursor: str

    def positions(self) -> tuple[int, ...]:
        """Return the next offset of each partition that the cursor names; ValueError if none."""
        raw = base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4))
        body = raw[_BEFORE_POSITIONS:-_SIGNATURE]
        if not body or len(body) % 8:
            raise ValueError(f"not a cursor: {self.cursor!r}")
        return struct.unpack(f">{len(body) // 8}Q", body)


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything one subscriber received."""

    subscriber: str
    start: str
    wanted: AlertFilter
    deliveries: Sequence[Delivery]


def read_recording(path: Path) -> Recording:
    """Return what a subscriber wrote down; ValueError for a file that begins otherwise."""
    first, *rest = list(lines_of(path)) or [{}]
    if "subscriber" not in first:
        raise ValueError(f"{path} does not begin with a subscription")
    named: Any = first["filter"]
    wanted = ParseDict(named, AlertFilter())
    deliveries = []
    for line in rest:
        ids = line["alert_event_ids"]
        assert isinstance(ids, list)
        deliveries.append(Delivery([str(name) for name in ids], str(line["cursor"])))
    return Recording(str(first["subscriber"]), str(first["start"]), wanted, deliveries)
