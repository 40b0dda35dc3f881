"""Entity-key schemes: which exist, how a value must look, in which zone its days lie (标识体系).

The schemes are rows of deploy/config/key_schemes.yaml; a foreign register joins as a row.
"""

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from market_supervision.common.v1.envelope_pb2 import EntityKey
from pydantic import ConfigDict, field_validator

from services.contracts.data_files import (
    CONFIG_ROOT,
    BilingualText,
    DataFileError,
    NonEmpty,
    Row,
    read_yaml,
)
from services.contracts.identifiers import (
    KEY_BYTES_MAX,
    IdentifierError,
    check_canonical,
    check_size,
    fold_width,
    normalise_uscc,
    parse_matter_id,
)
from services.contracts.labels import Label
from services.contracts.regular_expressions import RegularExpression

KEY_SCHEMES_FILE = CONFIG_ROOT / "key_schemes.yaml"


class ValueCheck(StrEnum):
    """Check of a value beyond its pattern (校验方式)."""

    NONE = "none"
    """The pattern is all."""
    USCC = "uscc"
    """Alphabet and check character of GB 32100."""
    MATTER_ID = "matter-id"
    """The value is a matter id."""


class LetterCase(StrEnum):
    """What becomes of letters (字母大小写)."""

    KEEP = "keep"
    """They stay as they are."""
    UPPER = "upper"
    """They are made upper case."""


class KeyScheme(Row):
    """One scheme of entity keys (标识体系)."""

    scheme: NonEmpty
    label: BilingualText
    pattern: RegularExpression
    """Regular expression that the whole normalised value matches."""
    time_zone: ZoneInfo
    """IANA zone whose civil days are the days of these entities."""
    check: ValueCheck = ValueCheck.NONE
    letter_case: LetterCase = LetterCase.UPPER
    source: NonEmpty
    """Where the form of the value is laid down."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @field_validator("scheme")
    @classmethod
    def _scheme_form(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
            message = "a scheme is 1 to 32 of a-z, 0-9 and '-', and begins with a letter"
            raise ValueError(message)
        return value

    @field_validator("time_zone", mode="before")
    @classmethod
    def _zone_exists(cls, value: object) -> ZoneInfo:
        try:
            return ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError) as error:
            message = f"no IANA time zone {value!r}"
            raise ValueError(message) from error

    def normalise(self, value: str) -> str:
        """Return the value in canonical form; raise IdentifierError when it is not valid."""
        normalised = _CHECKS[self.check](fold_width(value))
        if self.letter_case is LetterCase.UPPER:
            normalised = normalised.upper()
        check_size(check_canonical(normalised), KEY_BYTES_MAX)
        if not re.fullmatch(self.pattern, normalised):
            raise IdentifierError(
                value,
                Label(
                    f"不是有效的{self.label.zh}（格式：{self.pattern}）",
                    f"not a valid {self.label.en} (form: {self.pattern})",
                ),
            )
        return normalised


class _KeySchemesFile(Row):
    schemes: tuple[KeyScheme, ...]


class KeySchemes:
    """The schemes in force; never changes after loading."""

    def __init__(self, schemes: Iterable[KeyScheme]) -> None:
        self._schemes = MappingProxyType({scheme.scheme: scheme for scheme in schemes})

    @property
    def by_name(self) -> MappingProxyType[str, KeyScheme]:
        """Every scheme by its name."""
        return self._schemes

    def scheme(self, name: str) -> KeyScheme:
        """Return a scheme; raise IdentifierError for one that is not registered."""
        scheme = self._schemes.get(name)
        if scheme is None:
            known = ", ".join(sorted(self._schemes))
            raise IdentifierError(
                name,
                Label(f"未登记的标识体系，可用：{known}", f"unknown key scheme; known are {known}"),
            )
        return scheme

    def normalise(self, key: EntityKey) -> EntityKey:
        """Return the key in canonical form; raise IdentifierError when it is not valid."""
        return EntityKey(scheme=key.scheme, value=self.scheme(key.scheme).normalise(key.value))

    def zone(self, name: str) -> ZoneInfo:
        """Return the zone whose civil days are the days of a scheme's entities."""
        return self.scheme(name).time_zone


def load_key_schemes(path: Path = KEY_SCHEMES_FILE) -> KeySchemes:
    """Read the schemes; raise DataFileError naming the place when the file cannot be used."""
    rows = read_yaml(path, _KeySchemesFile).schemes
    seen: set[str] = set()
    for row in rows:
        if row.scheme in seen:
            raise DataFileError(path, row.scheme, "the scheme stands there twice")
        seen.add(row.scheme)
    return KeySchemes(rows)


def _unchecked(value: str) -> str:
    return value


def _matter_id(value: str) -> str:
    parse_matter_id(value)
    return value


_CHECKS: MappingProxyType[ValueCheck, Callable[[str], str]] = MappingProxyType(
    {
        ValueCheck.NONE: _unchecked,
        ValueCheck.USCC: normalise_uscc,
        ValueCheck.MATTER_ID: _matter_id,
    }
)
