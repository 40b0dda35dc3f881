"""Reading the data files officials keep, with errors that name file, row and column."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from services.contracts.labels import Label

CONFIG_ROOT = Path(__file__).resolve().parents[2] / "deploy" / "config"
"""Where the data files lie in the repository."""

NonEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class DataFileError(Exception):
    """A data file cannot be used; the text names the file, the row and what is wrong."""

    def __init__(self, path: Path, place: str, reason: str) -> None:
        super().__init__(f"{path}: {place}: {reason}" if place else f"{path}: {reason}")
        self.path = path
        self.place = place
        self.reason = reason


class Row(BaseModel):
    """A row of a data file: unknown columns are refused, values never change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Row)


class BilingualText(Row):
    """A text in both languages."""

    zh: NonEmpty
    en: NonEmpty

    def label(self) -> Label:
        """Return it as a label."""
        return Label(self.zh, self.en)


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read one YAML document into `model`; raise DataFileError for anything wrong with it."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataFileError(path, "", error.strerror or str(error)) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataFileError(path, "", str(error)) from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        place, reason = _first(error)
        raise DataFileError(path, place, reason) from error


def read_csv(path: Path, model: type[Model]) -> Iterator[tuple[str, Model]]:
    """Yield (place, row) of a CSV file with a header line, UTF-8 with or without a mark.

    Empty cells count as not given. Raises DataFileError for anything wrong with a row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for cells in reader:
                place = f"line {reader.line_num}"
                if None in cells or None in cells.values():
                    raise DataFileError(path, place, "not as many cells as the header has")
                given = {name: cell for name, cell in cells.items() if cell != ""}
                yield place, _row(path, place, given, model)
    except OSError as error:
        raise DataFileError(path, "", error.strerror or str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFileError(path, "", str(error)) from error


def _row(path: Path, place: str, cells: dict[str, str], model: type[Model]) -> Model:
    try:
        return model.model_validate(cells)
    except ValidationError as error:
        column, reason = _first(error)
        raise DataFileError(path, f"{place}, {column}" if column else place, reason) from error


def _first(error: ValidationError) -> tuple[str, str]:
    detail = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in detail["loc"]), str(detail["msg"])
