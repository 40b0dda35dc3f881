"""Printing: results to standard output in the form asked for, everything else to standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from services.cli.exit_codes import ExitCode


class Output(StrEnum):
    """Form of the results (输出格式)."""

    TABLE = "table"
    """For people."""
    JSON = "json"
    """One JSON document."""
    JSONL = "jsonl"
    """One JSON object a line, as they come."""


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="Form of the results. 输出格式")
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Short for --output json. 等同 --output json")
]

results = Console(soft_wrap=True)
messages = Console(stderr=True, soft_wrap=True)


def fail(message: str, code: ExitCode) -> NoReturn:
    """Say what is wrong on standard error and end with the code."""
    messages.print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(code)


def note(message: str) -> None:
    """Say something on standard error."""
    messages.print(message, markup=False, highlight=False)


def print_record(record: Mapping[str, Any], output: Output, *, title: str = "") -> None:
    """Print one record."""
    if output is Output.TABLE:
        table = Table(title=title or None, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in record.items():
            table.add_row(name, _shown(value))
        results.print(table)
    else:
        _print_json(record, indent=2 if output is Output.JSON else None)


def print_records(
    records: Iterable[Mapping[str, Any]], columns: Sequence[str], output: Output, *, title: str = ""
) -> None:
    """Print records: as lines when they come, or as one table or document at the end."""
    if output is Output.JSONL:
        for record in records:
            _print_json(record, indent=None)
    elif output is Output.JSON:
        _print_json(list(records), indent=2)
    else:
        table = Table(title=title or None)
        for column in columns:
            table.add_column(column, overflow="fold")
        for record in records:
            table.add_row(*(_shown(record.get(column)) for column in columns))
        results.print(table)


def _print_json(document: Any, *, indent: int | None) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=indent, default=str))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
