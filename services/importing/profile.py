"""The form of an import profile: how the rows of one kind of file become events (导入配置).

A profile is a YAML file of deploy/config/import_profiles. Here is its grammar; compilation.py
checks it against the contracts and makes it run.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from services.contracts.data_files import BilingualText, NonEmpty, Row
from services.importing.rows import as_text

Scalar = str | int | float | bool


class Conversion(StrEnum):
    """What is done to a cell before it becomes a field (转换)."""

    AUTOMATIC = "automatic"
    """What the field's type wants: text, whole number, yes or no, day, moment, code."""
    YUAN = "yuan"
    """An amount of yuan becomes fen."""
    SLUG = "slug"
    """A published phrase becomes a code of at most 64 characters."""


class Otherwise(StrEnum):
    """What becomes of a value that the map does not list."""

    REFUSE = "refuse"
    """The row is refused: the value is new, somebody has to look."""
    UNSET = "unset"
    """The field stays unset: not recorded."""
    KEEP = "keep"
    """The value itself is taken."""


class Above(Row):
    """Condition: a number greater than this."""

    above: float


class Value(Row):
    """Where a field gets its value from: exactly one of column, constant, template, item."""

    column: NonEmpty | tuple[NonEmpty, ...] | None = None
    """Column; of several, the first that is not empty."""
    constant: Scalar | tuple[Scalar, ...] | None = None
    template: NonEmpty | None = None
    """Text with `{column}` in it; empty when one of the columns is."""
    item: bool = False
    """The element itself, within `each`."""
    convert: Conversion = Conversion.AUTOMATIC
    map: dict[str, Scalar | None] | None = None
    """Value by the cell's text; null: stays unset."""
    map_file: NonEmpty | None = None
    """Such a map as a CSV file beside the profile, columns `text` and `value`."""
    ignore_case: bool = False
    """Whether the map is looked up without regard to letter case."""
    otherwise: Otherwise = Otherwise.REFUSE
    code_system: NonEmpty | None = None
    """Code system of the code; needed where, and only where, the field is a coded value."""
    scheme: NonEmpty | None = None
    """Key scheme; needed where the field is an entity key."""
    currency: NonEmpty | None = None
    """Column that holds the ISO 4217 code; needed where the field is money."""
    separators: str = ""
    """Characters that separate the elements of a repeated field in one cell."""
    required: bool = False
    """Whether an empty value refuses the row here, before the service would."""

    @field_validator("map", mode="before")
    @classmethod
    def _keys_as_text(cls, given: object) -> object:
        # YAML reads 1 and true as number and truth; a cell that holds them is compared as text.
        if isinstance(given, dict):
            return {as_text(key): target for key, target in given.items()}
        return given

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [self.column, self.constant, self.template, self.item or None]
        if sum(source is not None for source in given) != 1:
            message = "give exactly one of column, constant, template, item"
            raise ValueError(message)
        if self.map is not None and self.map_file is not None:
            message = "give map or map_file, not both"
            raise ValueError(message)
        return self

    def columns(self) -> tuple[str, ...]:
        """Return the columns it reads directly."""
        if self.column is None:
            return ()
        return (self.column,) if isinstance(self.column, str) else self.column


class Each(Row):
    """A repeated message: one element a list element, or a piece of one cell."""

    each: NonEmpty
    """Column that holds the list."""
    separators: str = ""
    """Characters that separate the elements in one cell."""
    fields: dict[NonEmpty, Value]


def _kind_of_rule(given: object) -> str:
    return (
        "each"
        if isinstance(given, Each) or (isinstance(given, dict) and "each" in given)
        else "value"
    )


BodyField = Annotated[
    Annotated[Value, Tag("value")] | Annotated[Each, Tag("each")], Discriminator(_kind_of_rule)
]
"""A field of the body: one value, or a repeated message."""

Condition = Scalar | None | Above | tuple[Scalar | None, ...]
"""A column equals this, is empty (null), is above a number, or equals one of several."""

When = dict[NonEmpty, Condition]
"""All conditions of a rule must hold; an empty one always holds."""


class KeyRule(Row):
    """One way to the entity key; the first whose value is not empty is taken."""

    scheme: NonEmpty
    value: Value


class Refusal(Row):
    """Rows that are no facts to be taken in, with the reason that the rejects file gives."""

    when: When = Field(min_length=1)
    reason: BilingualText


class EventRule(Row):
    """What event a row becomes when the conditions hold; the first rule that matches decides."""

    when: When
    family: NonEmpty
    event: NonEmpty
    """Arm of the family's event, such as `inspection_completed`."""
    envelope: dict[NonEmpty, Value] = Field(default_factory=dict)
    """Fields of the envelope that differ from the profile's."""
    fields: dict[NonEmpty, BodyField] = Field(default_factory=dict)
    """Fields of the body; a dotted name reaches into a nested message."""


class ImportProfile(Row):
    """One import profile (导入配置)."""

    profile: NonEmpty
    label: BilingualText
    source: NonEmpty
    """Where the files come from and under which terms."""
    known_columns_only: bool = False
    """Refuse a file with a column that no rule reads: a misspelt header loses data silently."""
    entity_key: tuple[KeyRule, ...] = Field(min_length=1)
    envelope: dict[NonEmpty, Value]
    refuse: tuple[Refusal, ...] = ()
    events: tuple[EventRule, ...] = Field(min_length=1)
