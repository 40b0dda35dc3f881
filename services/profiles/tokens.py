"""Page tokens: the last member of a page and what was asked, opaque to the caller. Pure.

Form: base64url of version (1 byte), digest of the request (16 bytes), last member.
"""

import base64
import binascii
import hashlib

from services.runtime.errors import PageTokenInvalidError

DIGEST_BYTES = 16
_VERSION = b"\x01"


def request_digest(*parts: bytes) -> bytes:
    """Return 16 bytes that tell one list request from another; page size is not part of it."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()[:DIGEST_BYTES]


def encode(digest: bytes, last_member: bytes) -> str:
    """Return the token of the page after one that ends with ``last_member``."""
    return base64.urlsafe_b64encode(_VERSION + digest + last_member).decode().rstrip("=")


def decode(token: str, digest: bytes, member_bytes: int) -> bytes | None:
    """Return the member to go on after, None for the first page.

    Raises PageTokenInvalidError for a token that is none, or belongs to another request.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    body = raw[1 + DIGEST_BYTES :]
    if raw[:1] != _VERSION or len(body) != member_bytes:
        raise PageTokenInvalidError(
            f"page_token {token[:24]!r} is not a page token", "page_token 不是有效的翻页标记"
        )
    if raw[1 : 1 + DIGEST_BYTES] != digest:
        raise PageTokenInvalidError(
            "page_token belongs to a request with another parent or filter",
            "page_token 属于其他条件的查询",
        )
    return body
