"""Page tokens and watch cursors."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.contracts.topics import PARTITIONS
from services.profiles import tokens
from services.profiles.cursor import Cursor, CursorSigner
from services.profiles.cursor_key import KEY_FILE, cursor_key
from services.runtime.errors import CursorInvalidError, PageTokenInvalidError
from services.runtime.settings import ConfigurationError

DIGEST = tokens.request_digest(b"one")
CURSORS = st.builds(
    Cursor,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.tuples(*[st.integers(0, (1 << 63) - 1)] * PARTITIONS),
)
SIGNER = CursorSigner(b"k" * 32)


@given(member=st.binary(min_size=14, max_size=14))
def test_page_token_gives_back_the_last_member(member: bytes) -> None:
    """Whatever bytes a member has, the next page goes on after it."""
    assert tokens.decode(tokens.encode(DIGEST, member), DIGEST, 14) == member


def test_page_token_that_is_empty_means_the_first_page() -> None:
    """No token, no place to go on from."""
    assert tokens.decode("", DIGEST, 14) is None


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "####",
        "é",
        tokens.encode(DIGEST, b"short"),
        tokens.encode(tokens.request_digest(b"two"), b"m" * 14),
    ],
)
def test_page_token_malformed_or_foreign_is_refused(token: str) -> None:
    """A token of another request would page through something nobody asked for."""
    with pytest.raises(PageTokenInvalidError):
        tokens.decode(token, DIGEST, 14)


def test_request_digest_tells_where_parts_end() -> None:
    """Two requests never share a digest because their parts run together."""
    assert tokens.request_digest(b"ab", b"c") != tokens.request_digest(b"a", b"bc")


@given(cursor=CURSORS)
def test_cursor_gives_back_what_was_signed(cursor: Cursor) -> None:
    """A cursor survives its text form."""
    assert SIGNER.decode(SIGNER.encode(cursor)) == cursor


@given(cursor=CURSORS, at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_cursor_with_any_byte_changed_is_refused(cursor: Cursor, at: int, flip: int) -> None:
    """Nobody can move a cursor by hand."""
    raw = bytearray(base64.urlsafe_b64decode(SIGNER.encode(cursor) + "=="))
    raw[at % len(raw)] ^= flip
    with pytest.raises(CursorInvalidError):
        SIGNER.decode(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))


@pytest.mark.parametrize("text", ["", "A", "!!!", "é", "QUJD"])
def test_cursor_that_is_none_is_refused(text: str) -> None:
    """Garbage is an error of the caller, not of the server."""
    with pytest.raises(CursorInvalidError):
        SIGNER.decode(text)


def test_cursor_of_another_key_is_refused() -> None:
    """Another system's cursor says nothing here."""
    cursor = Cursor(b"t" * 16, b"f" * 16, (0,) * PARTITIONS)
    with pytest.raises(CursorInvalidError):
        SIGNER.decode(CursorSigner(b"x" * 32).encode(cursor))


def test_cursor_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Cursors outlive the process; the key is for its owner only."""
    first = cursor_key(None, tmp_path / "data")

    assert cursor_key(None, tmp_path / "data") == first
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert cursor_key(None, tmp_path / "other") != first


def test_cursor_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """A key that leaked signs for anybody."""
    cursor_key(None, tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigurationError):
        cursor_key(None, tmp_path)


def test_cursor_key_given_too_short_is_refused(tmp_path: Path) -> None:
    """A short key can be guessed."""
    assert cursor_key(SecretStr("k" * 32), tmp_path) == b"k" * 32
    with pytest.raises(ConfigurationError):
        cursor_key(SecretStr("k" * 31), tmp_path)
