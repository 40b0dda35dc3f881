"""JSON lines that already are events, in protobuf's canonical JSON (标准JSON事件)."""

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.json_format import ParseDict, ParseError

from services.contracts.families import Family
from services.contracts.labels import Label
from services.importing.errors import RowProblem, RowRefusedError
from services.importing.mapping import MappedEvent, refuse_defective
from services.importing.rows import RECORD_COLUMN, Row

_NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


def parse_row(family: Family, row: Row) -> MappedEvent:
    """Return the event a row holds; raise RowRefusedError when it is no event of the family."""
    refuse_defective(row)
    event = family.message_class()
    try:
        ParseDict(dict(row.values), event)
    except (ParseError, ValueError, ArithmeticError) as error:
        # Not all that JSON can say is a ParseError: a lone surrogate is a UnicodeEncodeError.
        reason = Label(
            f"不符合{family.label.zh}事件的格式: {error}",
            f"not an event of {family.label.en}: {error}",
        )
        raise RowRefusedError((RowProblem(RECORD_COLUMN, "", reason),)) from error
    return MappedEvent(family, event, _NO_COLUMNS)
