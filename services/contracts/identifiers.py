"""Identifiers: entity keys, event ids, matter ids, resource names (标识).

Everything here is pure. Which schemes exist, and how a value of each must look, is data
(key_schemes.py); this module knows the canonical forms.
"""

import hashlib
import unicodedata
from uuid import UUID

import stdnum.cn.uscc
from market_supervision.common.v1.envelope_pb2 import EntityKey
from stdnum.exceptions import InvalidChecksum, InvalidFormat, InvalidLength, ValidationError

from services.contracts.labels import Label

USCC = "uscc"
"""Scheme of the unified social credit code (统一社会信用代码, GB 32100)."""
REGNO = "regno"
"""Scheme of the 15-digit registration number used before the code (注册号)."""

RESOURCE_PREFIX = "entities/"

# Letters GB 32100 leaves out because they are taken for digits, with the digit usually meant.
_MISTAKEN_LETTERS = str.maketrans({"O": "0", "I": "1"})
_UUID_VERSION = 0x80  # 8, in the high half of byte 6
_UUID_VARIANT = 0x80  # of RFC 9562, in the high bits of byte 8


KEY_BYTES_MAX = 200
"""Of a canonical key's value, in UTF-8: it becomes part of keys that other stores bound."""
MATTER_ID_BYTES_MAX = 256
"""Of a matter id, in UTF-8."""


class IdentifierError(ValueError):
    """An identifier is not valid; names the value and the reason in both languages."""

    def __init__(self, value: str, reason: Label) -> None:
        super().__init__(f"{value!r}: {reason.en}")
        self.value = value
        self.reason = reason


def fold_width(text: str) -> str:
    """Return the text with full-width characters made half-width and outer blanks removed."""
    return unicodedata.normalize("NFKC", text).strip()


def check_canonical(value: str) -> str:
    """Return the value; raise IdentifierError when it cannot be part of a canonical key.

    Blanks and control characters would make two keys look alike; `|` separates the parts of state
    keys.
    """
    if not value:
        raise IdentifierError(value, Label("不能为空", "must not be empty"))
    # Of all blanks only the space is printable; asked of the whole text, this costs a tenth of
    # asking each character.
    if " " in value or not value.isprintable():
        raise IdentifierError(
            value,
            Label("不得含空白或控制字符", "must not contain blanks or control characters"),
        )
    if "|" in value:
        raise IdentifierError(value, Label("不得含“|”", "must not contain '|'"))
    return value


def normalise_uscc(text: str) -> str:
    """Return a unified social credit code in canonical form (统一社会信用代码).

    Full-width characters, lower case, blanks and hyphens are put right; nothing else is guessed.
    Raises IdentifierError with the reason: length, alphabet (with the correction, where O or I was
    written for 0 or 1), or check character.
    """
    code = stdnum.cn.uscc.compact(fold_width(text))
    try:
        return str(stdnum.cn.uscc.validate(code))
    except ValidationError as error:
        raise IdentifierError(text, _uscc_reason(code, error)) from error


def _uscc_reason(code: str, error: ValidationError) -> Label:
    if isinstance(error, InvalidLength):
        return Label(
            f"统一社会信用代码应为18位，实为{len(code)}位",
            f"a unified social credit code has 18 characters, this has {len(code)}",
        )
    corrected = code.translate(_MISTAKEN_LETTERS)
    if corrected != code:
        hint_zh, hint_en = "", ""
        if stdnum.cn.uscc.is_valid(corrected):
            hint_zh, hint_en = f"，是否为 {corrected}？", f"; did you mean {corrected}?"
        return Label(
            f"统一社会信用代码不使用字母O和I（应为数字0和1）{hint_zh}",
            f"the letters O and I are not used (the digits 0 and 1 are){hint_en}",
        )
    if isinstance(error, InvalidChecksum):
        return Label(
            "统一社会信用代码校验码（第18位）不符",
            "the check character (18th) does not match",
        )
    if isinstance(error, InvalidFormat):
        return Label(
            "统一社会信用代码前8位应为数字，其余不使用字母I、O、S、V、Z",
            "the first 8 characters are digits, and the letters I, O, S, V, Z are not used",
        )
    return Label("统一社会信用代码无效", "not a valid unified social credit code")


def canonical_key(key: EntityKey) -> str:
    """Return the canonical text of an entity key, `scheme:value`; the key must be normalised."""
    return f"{key.scheme}:{key.value}"


def kafka_key(key: EntityKey) -> bytes:
    """Return the Kafka key of everything about an entity: its canonical key in UTF-8."""
    return canonical_key(key).encode()


def parse_key(text: str) -> EntityKey:
    """Parse a canonical key, `scheme:value`; raise IdentifierError when it has no such form.

    The value is not normalised and not checked against its scheme: see KeySchemes.normalise.
    """
    scheme, separator, value = text.partition(":")
    if not (scheme and separator and value):
        raise IdentifierError(
            text, Label("主体标识应为“体系:值”", "an entity key has the form scheme:value")
        )
    return EntityKey(scheme=scheme, value=value)


def entity_resource_name(key: EntityKey) -> str:
    """Return the resource name of an entity, `entities/{scheme:value}`."""
    return RESOURCE_PREFIX + canonical_key(key)


def parse_entity_resource_name(name: str) -> EntityKey:
    """Parse `entities/{scheme:value}`; raise IdentifierError when it has no such form."""
    if not name.startswith(RESOURCE_PREFIX):
        raise IdentifierError(
            name,
            Label(
                "资源名应为“entities/体系:值”", "a resource name has the form entities/scheme:value"
            ),
        )
    return parse_key(name.removeprefix(RESOURCE_PREFIX))


def check_size(value: str, bytes_max: int) -> str:
    """Return the value; raise IdentifierError when its UTF-8 is longer than `bytes_max`."""
    size = len(value.encode())
    if size > bytes_max:
        raise IdentifierError(
            value,
            Label(
                f"UTF-8编码为{size}字节, 不得超过{bytes_max}字节",
                f"has {size} bytes of UTF-8, at most {bytes_max} are taken",
            ),
        )
    return value


def matter_id(source_system: str, local_id: str) -> str:
    """Return the matter id of a matter that a source knows as `local_id` (事项号)."""
    return f"{source_system}/{check_canonical(local_id)}"


def parse_matter_id(text: str) -> tuple[str, str]:
    """Split a matter id into source system and local id; raise IdentifierError without a slash."""
    source_system, separator, local_id = text.partition("/")
    if not (source_system and separator and local_id):
        raise IdentifierError(
            text, Label("事项号应为“来源系统/编号”", "a matter id has the form source_system/id")
        )
    check_canonical(local_id)
    return source_system, local_id


def event_id(source_system: str, source_record_id: str, source_version: int) -> str:
    """Return the event id of one version of one source record (事件编号).

    The `derived_id` of the three; the version is written in decimal.
    """
    return derived_id(source_system, source_record_id, str(source_version))


def derived_id(*texts: str) -> str:
    """Return the UUIDv8 of a sequence of texts: the first 16 bytes of their SHA-256.

    Each text goes in as UTF-8 after its length as four bytes, big-endian, so that no two sequences
    share an input.
    """
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    raw = bytearray(digest.digest()[:16])
    raw[6] = (raw[6] & 0x0F) | _UUID_VERSION
    raw[8] = (raw[8] & 0x3F) | _UUID_VARIANT
    return str(UUID(bytes=bytes(raw)))
