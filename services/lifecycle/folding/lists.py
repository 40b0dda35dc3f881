"""The capped lists of an entity: what orders them and how many entries stay. Pure."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

_BIAS = 1 << 63


_pack1 = struct.Struct(">Q").pack
_pack2 = struct.Struct(">QQ").pack
_pack3 = struct.Struct(">QQQ").pack
# Big-endian bytes of numbers moved by _BIAS sort as the numbers do, negative ones included.


@dataclass(frozen=True, slots=True)
class ListSpec:
    """One capped list: field of EntityState, cap, entry type, order bytes and id of an entry."""

    field: str
    cap: int
    entry: type[Message]
    order: Callable[[Any], bytes]
    identity: Callable[[Any], str]


LISTS: dict[str, ListSpec] = {
    spec.field: spec
    for spec in (
        ListSpec(
            "claims",
            3,
            state_pb2.AttributeClaim,
            lambda e: _pack3(e.attribute + _BIAS, e.rank + _BIAS, e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "registration_facts",
            16,
            state_pb2.StatusFact,
            lambda e: _pack1(e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "listings",
            8,
            state_pb2.ListingState,
            lambda e: _pack1((e.listed_time_ms or e.removed_time_ms) + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "licences",
            16,
            state_pb2.LicenceState,
            lambda e: _pack1(e.to_day + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "matters",
            10,
            state_pb2.MatterDigest,
            lambda e: _pack2(int(e.open) + _BIAS, e.last_time_ms + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "inspections",
            8,
            state_pb2.InspectionDigest,
            lambda e: _pack1(e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
        ListSpec(
            "penalties",
            8,
            state_pb2.PenaltyDigest,
            lambda e: _pack1(e.decided_time_ms + _BIAS),
            lambda e: str(e.matter_id),
        ),
        ListSpec(
            "recent_facts",
            12,
            state_pb2.RecentFact,
            lambda e: _pack1(e.event_time_ms + _BIAS),
            lambda e: str(e.slot_key),
        ),
    )
}
"""All lists. Of `claims` the cap holds for each attribute."""


CLAIMS = "claims"
GROUP_BYTES = 8
"""Leading bytes of a claim's sort key that name its attribute."""


def sort_key(name: str, entry: Message) -> bytes:
    """Order and id of an entry: where it stands in its list."""
    spec = LISTS[name]
    return spec.order(entry) + spec.identity(entry).encode()


def claim_group(attribute: int) -> bytes:
    """The leading bytes that the sort keys of an attribute's claims share."""
    return _pack1(attribute + _BIAS)


def attribute_of(group: bytes) -> int:
    """The attribute of a group of claims."""
    return int.from_bytes(group, "big") - _BIAS


def time_of(key: bytes) -> int:
    """The event time in milliseconds by which a list ordered by it sorts an entry."""
    return int.from_bytes(key[:8], "big") - _BIAS
