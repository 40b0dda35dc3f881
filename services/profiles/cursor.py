"""Watch cursors: where a subscriber stands, signed so that nobody can make one up. Pure.

Form: base64url of version (1 byte), topic id (16 bytes), filter digest (16 bytes), next offset of
each partition (8 bytes each), HMAC-SHA-256 of all that (first 16 bytes).
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

from services.contracts.alert_filter import DIGEST_BYTES
from services.contracts.topics import PARTITIONS
from services.runtime.errors import CursorInvalidError

TOPIC_ID_BYTES = 16
SIGNATURE_BYTES = 16
_VERSION = 1
_BODY = struct.Struct(f">B{TOPIC_ID_BYTES}s{DIGEST_BYTES}s{PARTITIONS}Q")

Positions = tuple[int, ...]
"""Next offset of each partition, in the order of partitions."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything before ``positions`` was delivered, or did not match the filter."""

    topic_id: bytes
    filter_digest: bytes
    positions: Positions


class CursorSigner:
    """Makes cursors and takes them back; instances that share a key understand one another."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, cursor: Cursor) -> str:
        """Return the text of a cursor."""
        body = _BODY.pack(_VERSION, cursor.topic_id, cursor.filter_digest, *cursor.positions)
        return base64.urlsafe_b64encode(body + self._signature(body)).decode().rstrip("=")

    def decode(self, text: str) -> Cursor:
        """Return what a cursor says; CursorInvalidError when it was not made with this key."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        body, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
        if len(body) != _BODY.size or not hmac.compare_digest(signature, self._signature(body)):
            raise CursorInvalidError(
                f"cursor {text[:24]!r} was not issued by this system", "游标不是本系统签发的"
            )
        version, topic_id, filter_digest, *positions = _BODY.unpack(body)
        if version != _VERSION:
            raise CursorInvalidError(
                f"cursor of version {version} is not understood", f"不支持游标版本 {version}"
            )
        return Cursor(topic_id, filter_digest, tuple(positions))

    def _signature(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:SIGNATURE_BYTES]
