"""Keys of the state topic."""

import pytest

from services.contracts import state_keys
from services.contracts.state_keys import StateKey, StateKeyError, StateKind

ENTITY = "uscc:91442000XX0000001A"


@pytest.mark.parametrize(
    ("built", "kind", "part"),
    [
        (state_keys.entity_state(ENTITY), StateKind.ENTITY, ""),
        (state_keys.matter_state(ENTITY, "12315/C-1"), StateKind.MATTER, "12315/C-1"),
        (state_keys.slot_stub(ENTITY, "0" * 32), StateKind.SLOT_STUB, "0" * 32),
        (state_keys.month_bucket(ENTITY, 2026, 3), StateKind.MONTH, "2026-03"),
        (state_keys.year_bucket(ENTITY, 987), StateKind.YEAR, "0987"),
        (state_keys.alert_thread(ENTITY, "a" * 32), StateKind.ALERT, "a" * 32),
    ],
)
def test_parse_of_a_built_key_returns_its_parts(built: bytes, kind: StateKind, part: str) -> None:
    """What a builder wrote, the parser takes apart again."""
    assert state_keys.parse(built) == StateKey(ENTITY, kind, part)
    assert state_keys.letter_of(built) == kind.encode()


@pytest.mark.parametrize("key", [b"\x00meta", b"\x00bundle", b"!bundles", b"!counts|topic"])
def test_parse_of_a_record_about_no_entity_is_none(key: bytes) -> None:
    """Records of the engine and of the partition are told from those of entities."""
    assert state_keys.parse(key) is None


@pytest.mark.parametrize(
    "key", [b"", b"x", b"x|", b"|e", b"x|e|y", b"x|t", b"x|t|", b"x|z|1", b"x|t|a|b", b"\xff|e"]
)
def test_parse_of_a_malformed_key_raises(key: bytes) -> None:
    """A key of another form is refused, not guessed at."""
    with pytest.raises(StateKeyError):
        state_keys.parse(key)
