"""Keys of the state topic `lifecycle.v1`: who owns a record and what it is.

Form: ``<entity key>|<letter>`` or ``<entity key>|<letter>|<part>``. No part contains ``|``: entity
keys and matter ids are validated so, the other parts are hexadecimal or dates. Keys that begin with
a zero byte belong to the engine, keys that begin with ``!`` to the partition as a whole; neither is
about an entity.
"""

from dataclasses import dataclass
from enum import StrEnum

SEPARATOR = "|"
_SEPARATOR_BYTE = b"|"
_NOT_ABOUT_ENTITIES = (b"\x00", b"!")


class StateKind(StrEnum):
    """What a record of an entity is (状态类别): the letter in its key."""

    ENTITY = "e"
    """EntityState; no part."""
    MATTER = "t"
    """MatterState; part: matter id."""
    SLOT_STUB = "s"
    """SlotStub; part: 32 hex characters of the slot's hash."""
    MONTH = "m"
    """MonthBucket; part: yyyy-mm."""
    YEAR = "y"
    """YearBucket; part: yyyy."""
    ALERT = "a"
    """AlertThread; part: alert id."""


class StateKeyError(ValueError):
    """A key that has not the form of a state key (状态键格式错误)."""


@dataclass(frozen=True, slots=True)
class StateKey:
    """A state key taken apart; ``part`` is empty for the entity's own record."""

    entity_key: str
    kind: StateKind
    part: str = ""


def entity_state(entity_key: str) -> bytes:
    """Return the key of the entity's live view."""
    return f"{entity_key}|e".encode()


def matter_state(entity_key: str, matter_id: str) -> bytes:
    """Return the key of one matter (事项)."""
    return f"{entity_key}|t|{matter_id}".encode()


def slot_stub(entity_key: str, slot_hash: str) -> bytes:
    """Return the key of a fact pushed out of an overflowed matter; ``slot_hash``: 32 hex."""
    return f"{entity_key}|s|{slot_hash}".encode()


def month_bucket(entity_key: str, year: int, month: int) -> bytes:
    """Return the key of a month's sums (月桶)."""
    return f"{entity_key}|m|{year:04d}-{month:02d}".encode()


def year_bucket(entity_key: str, year: int) -> bytes:
    """Return the key of a year's sums (年桶)."""
    return f"{entity_key}|y|{year:04d}".encode()


def alert_thread(entity_key: str, alert_id: str) -> bytes:
    """Return the key of an alert's thread (预警线索)."""
    return f"{entity_key}|a|{alert_id}".encode()


def parse(key: bytes) -> StateKey | None:
    """Take a key of the state topic apart; None for a record that is not about one entity.

    Raises StateKeyError when the key is neither of the engine or the partition nor well formed.
    """
    if key.startswith(_NOT_ABOUT_ENTITIES):
        return None
    try:
        entity_key, letter, *rest = key.decode().split(SEPARATOR)
        kind = StateKind(letter)
    except ValueError as error:
        raise StateKeyError(_complaint(key)) from error
    expected_parts = 0 if kind is StateKind.ENTITY else 1
    if not entity_key or len(rest) != expected_parts or not all(rest):
        raise StateKeyError(_complaint(key))
    return StateKey(entity_key, kind, rest[0] if rest else "")


def letter_of(key: bytes) -> bytes:
    """Return what stands for a key's kind, without taking the key apart, nor checking its parts.

    For whoever lets most of a topic's records go. Of a key that is about no entity it may be any.
    """
    return key.partition(_SEPARATOR_BYTE)[2].partition(_SEPARATOR_BYTE)[0]


def _complaint(key: bytes) -> str:
    return f"not a state key: {key[:200]!r} (状态键格式错误)"
