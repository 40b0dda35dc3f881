r"""Local-only keys of a partition: entries of capped lists, and dates to come. Pure.

They are derived from the changelog's records alone, so that recovery rebuilds them while reading:
``\x01l|<entity>|<list>|<order ‖ id>`` → entry,
``\x01d|<scheme>|<day>|<entity>|<matter>|<anchor>`` → nothing but the key. A day is four bytes,
big-endian.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.contracts.state_keys import StateKind
from services.lifecycle.folding.contribution import Contribution, DayOf, contribution_of
from services.lifecycle.folding.encoding import encoded

OPEN_ALERTS = "open_alerts"
_CACHE_ENTRIES = 2_048
_CACHE_BYTES_MAX = 32 << 20
"""Bytes of the matters by which the cache is keyed."""
_DAY_BIAS = 1 << 31
_INDEXED = frozenset({StateKind.MATTER, StateKind.ALERT})
_WITHOUT_LOCAL_KEYS = frozenset(kind.encode() for kind in StateKind if kind not in _INDEXED)
"""Letters of the states from which no local key follows."""
_NO_DATES: frozenset[tuple[bytes, bytes]] = frozenset()

ZoneOf = Callable[[str], DayOf]
"""Entity key → the function that gives its civil days."""


def list_prefix(entity_key: str, name: str, group: bytes = b"") -> bytes:
    """Prefix of the entries of one list of one entity, or of one group of it."""
    return f"\x01l|{entity_key}|{name}|".encode() + group


def due_prefix(scheme: str, day: int) -> bytes:
    """Prefix of everything anchored on a civil day in entities of one scheme."""
    return f"\x01d|{scheme}|".encode() + struct.pack(">I", day + _DAY_BIAS) + b"|"


def due_keys(
    entity_key: str, matter_id: str, contribution: Contribution
) -> frozenset[tuple[bytes, bytes]]:
    """Keys of the dates of one matter, each as its day's prefix and the rest."""
    view = contribution.view
    if view is None or not view.anchors:
        return _NO_DATES
    scheme = entity_key.partition(":")[0]
    return frozenset(
        (due_prefix(scheme, day), f"{entity_key}|{matter_id}|{anchor}".encode())
        for anchor, day in view.anchors
    )


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


def open_alert_order(alert: alert_pb2.Alert) -> bytes:
    """Where an open alert stands among those of its entity."""
    return f"{alert.rule.rule_id}|{alert.episode_key}|{alert.alert_id}".encode()


class LocalIndex:
    """Derives the local-only keys of changelog records; remembers what it derived last.

    Live, the step knows them already (`fold`, `alert_threads`) and hands them over; recovery has
    the records alone.
    """

    def __init__(self, zone_of: ZoneOf) -> None:
        self._zone_of = zone_of
        self._known: OrderedDict[bytes, dict[bytes, bytes]] = OrderedDict()
        self._known_bytes = 0

    def changes(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """Puts and (None) deletions that follow from ``key`` becoming ``new``."""
        if state_keys.letter_of(key) in _WITHOUT_LOCAL_KEYS or old == new:
            return  # more than half of the records of a city
        parsed = state_keys.parse(key)
        if parsed is None:
            return
        derived = self._of_matter if parsed.kind is StateKind.MATTER else self._of_thread
        before = derived(old) if old is not None else {}
        after = derived(new)
        for local_key in before.keys() - after.keys():
            yield local_key, None
        for local_key, value in after.items():
            if before.get(local_key) != value:
                yield local_key, value

    def _of_matter(self, value: bytes) -> dict[bytes, bytes]:
        entries = self._known.get(value)
        if entries is not None:
            return entries
        matter = state_pb2.MatterState.FromString(value)
        entity_key = matter.entity_key
        contribution = contribution_of(matter, self._zone_of(entity_key))
        entries = {
            prefix + rest: b""
            for prefix, rest in due_keys(entity_key, matter.matter_id, contribution)
        }
        for name, listed in contribution.entries.items():
            prefix = list_prefix(entity_key, name)
            entries.update((prefix + key, encoded(entry)) for key, entry in listed.items())
        self._remember(value, entries)
        return entries

    def _remember(self, value: bytes, entries: dict[bytes, bytes]) -> None:
        self._known[value] = entries
        self._known_bytes += len(value)
        while len(self._known) > 1 and (
            len(self._known) > _CACHE_ENTRIES or self._known_bytes > _CACHE_BYTES_MAX
        ):
            forgotten, _entries = self._known.popitem(last=False)
            self._known_bytes -= len(forgotten)

    @staticmethod
    def _of_thread(value: bytes) -> dict[bytes, bytes]:
        alert = state_pb2.AlertThread.FromString(value).alert
        if alert.state != alert_pb2.ALERT_STATE_OPEN:
            return {}
        key = list_prefix(alert.entity_key, OPEN_ALERTS) + open_alert_order(alert)
        return {key: encoded(alert_reference(alert))}
