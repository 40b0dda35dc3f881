"""Regular expressions in data files: a wrong one is refused when read, not when first used."""

import re
from typing import Annotated

from pydantic import AfterValidator

from services.contracts.data_files import NonEmpty


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        message = f"not a regular expression: {error}"
        raise ValueError(message) from error
    return value


RegularExpression = Annotated[NonEmpty, AfterValidator(_compiles)]
"""A regular expression as a column of a data file."""
