r"""Local-only keys of a partition: entries of capped lists, and dates to come. Pure.

They are derived from the changelog's records alone, so that recovery rebuilds them while reading:
``\x01l|<entity>|<list>|<order ‖ id>`` → entry,
``\x01d|<scheme>|<day>|<entity>|<matter>|<anchor>`` → nothing but the key. A day is four bytes,
big-endian.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable

from google.protobuf.message import Message
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.folding.contribution import Contribution, DayOf, contribution_of

OPEN_ALERTS = "open_alerts"
_CACHE_ENTRIES = 2_048
_CACHE_BYTES_MAX = 32 << 20
"""Bytes of the matters by which the cache is keyed."""
_DAY_BIAS = 1 << 31

ZoneOf = Callable[[str], DayOf]
"""Entity key → the function that gives its civil days."""


def list_prefix(entity_key: str, name: str, group: bytes = b"") -> bytes:
    """Prefix of the entries of one list of one entity, or of one group of it."""
    return f"\x01l|{entity_key}|{name}|".encode() + group


def due_prefix(scheme: str, day: int) -> bytes:
    """Prefix of everything anchored on a civil day in entities of one scheme."""
    return f"\x01d|{scheme}|".encode() + struct.pack(">I", day + _DAY_BIAS) + b"|"


def due_key(entity_key: str, matter_id: str, anchor: str, day: int) -> bytes:
    """Key of one date of one matter."""
    scheme = entity_key.partition(":")[0]
    return due_prefix(scheme, day) + f"{entity_key}|{matter_id}|{anchor}".encode()


def parse_due_key(key: bytes, prefix: bytes) -> tuple[str, str, str]:
    """Entity key, matter id and anchor of a due key under its prefix."""
    entity_key, matter_id, anchor = key[len(prefix) :].decode().split("|")
    return entity_key, matter_id, anchor


def alert_reference(alert: alert_pb2.Alert) -> state_pb2.AlertReference:
    """The short form of an alert."""
    return state_pb2.AlertReference(
        alert_id=alert.alert_id,
        rule_id=alert.rule.rule_id,
        severity=alert.severity,
        episode_key=alert.episode_key,
        matter_id=alert.matter_id,
    )


class LocalIndex:
    """Derives the local-only keys of changelog records; remembers what it derived last."""

    def __init__(self, zone_of: ZoneOf) -> None:
        self._zone_of = zone_of
        self._known: OrderedDict[bytes, dict[bytes, bytes]] = OrderedDict()
        self._known_bytes = 0

    def changes(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """Puts and (None) deletions that follow from ``key`` becoming ``new``."""
        parsed = state_keys.parse(key)
        if parsed is None or old == new:
            return
        if parsed.kind is state_keys.StateKind.MATTER:
            before = self._of_matter(old) if old is not None else {}
            after = self._of_matter(new)
        elif parsed.kind is state_keys.StateKind.ALERT:
            before = self._of_thread(old) if old is not None else {}
            after = self._of_thread(new)
        else:
            return
        for local_key in before.keys() - after.keys():
            yield local_key, None
        for local_key, value in after.items():
            if before.get(local_key) != value:
                yield local_key, value

    def remember(
        self, value: bytes, matter: state_pb2.MatterState, contribution: Contribution
    ) -> None:
        """Spare `changes` the folding of a matter that was just folded to ``contribution``."""
        entity_key = matter.entity_key
        entries = {
            list_prefix(entity_key, name) + sort_key: _bytes(entry)
            for (name, sort_key), entry in contribution.entries.items()
        }
        if contribution.view is not None:
            for anchor, day in contribution.view.anchors:
                entries[due_key(entity_key, matter.matter_id, anchor, day)] = b""
        if value not in self._known:
            self._known_bytes += len(value)
        self._known[value] = entries
        while len(self._known) > 1 and (
            len(self._known) > _CACHE_ENTRIES or self._known_bytes > _CACHE_BYTES_MAX
        ):
            forgotten, _entries = self._known.popitem(last=False)
            self._known_bytes -= len(forgotten)

    def _of_matter(self, value: bytes) -> dict[bytes, bytes]:
        if value not in self._known:
            matter = state_pb2.MatterState.FromString(value)
            day_of = self._zone_of(matter.entity_key)
            self.remember(value, matter, contribution_of(matter, day_of))
        return self._known[value]

    @staticmethod
    def _of_thread(value: bytes) -> dict[bytes, bytes]:
        alert = state_pb2.AlertThread.FromString(value).alert
        if alert.state != alert_pb2.ALERT_STATE_OPEN:
            return {}
        order = f"{alert.rule.rule_id}|{alert.episode_key}|{alert.alert_id}".encode()
        key = list_prefix(alert.entity_key, OPEN_ALERTS) + order
        return {key: _bytes(alert_reference(alert))}


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
