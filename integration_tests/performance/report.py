"""latest.json and the tables made of it; rows measured at other times stay until renewed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from integration_tests.performance.row import Row

TABLE_BEGIN = "<!-- table: generated from latest.json by `make bench` -->"
TABLE_END = "<!-- end of table -->"
HEAD = (
    *("row", "ratio", "low to high", "pairs", "must", "goal", "verdict", "ours", "baseline"),
    *("foreign", "measured"),
)
BESIDE_HEAD = ("row", "beside the ratio", "ours", "baseline", "ours ÷ baseline")
NO_FIGURES = "No row has been measured yet; `make bench` writes `latest.json` beside this page."
FIGURES = "All that was measured is in [latest.json](latest.json)."

Document = dict[str, Any]


def empty(names: Iterable[str]) -> Document:
    """Return a result without rows."""
    return {"rows": [], "not_run": list(names)}


def read(path: Path) -> Document:
    """Return an earlier result; one without rows when there is none."""
    if not path.exists():
        return empty(())
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


def merged(earlier: Document, measured: Mapping[str, Any], rows: Sequence[Row]) -> Document:
    """Return the earlier result with one row renewed, in the order of the catalogue.

    A row whose figures are not valid (the machine was busy) never replaces one whose are; rows that
    left the catalogue are dropped.
    """
    by_name = {row["name"]: row for row in earlier["rows"]}
    standing = by_name.get(measured["name"])
    if standing is None or measured["valid"] or not standing["valid"]:
        by_name[measured["name"]] = dict(measured)
    names = [row.name for row in rows]
    return {
        **earlier,
        "rows": [by_name[name] for name in names if name in by_name],
        "not_run": [name for name in names if name not in by_name],
    }


def write(path: Path, document: Document) -> None:
    """Write a result whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def table(document: Document) -> str:
    """Return the rows as a Markdown table, those not run at its end."""
    lines = [_line(HEAD), _line("---" for _ in HEAD)]
    lines += [_line(_cells(row)) for row in document["rows"]]
    lines += [_line((f"`{name}`", "not run")) for name in document["not_run"]]
    return "\n".join(lines)


def beside(document: Document) -> str:
    """Return the table of what belongs beside the ratios; empty when nothing does."""
    lines = [_line(_beside_cells(row, name)) for row in document["rows"] for name in row["beside"]]
    return "\n".join(
        [_line(BESIDE_HEAD), _line("---" for _ in BESIDE_HEAD), *lines] if lines else []
    )


def of_other_code(document: Document, has_changed: Callable[[str], bool]) -> str:
    """Say which rows were measured on code that is not the present one; empty when none was.

    ``has_changed``: whether what is measured has changed since a commit. Not part of the page,
    which would be out of date with every commit.
    """
    old = [
        f"{row['name']} ({row['commit']})" for row in document["rows"] if has_changed(row["commit"])
    ]
    return f"measured before services or protos changed: {', '.join(old)}" if old else ""


def with_table(page: str, document: Document) -> str:
    """Return a page with its generated tables renewed."""
    said = FIGURES if document["rows"] else NO_FIGURES
    parts = [part for part in (said, table(document), beside(document)) if part]
    body = "\n\n".join(parts)
    before, _, rest = page.partition(TABLE_BEGIN)
    _, _, after = rest.partition(TABLE_END)
    return f"{before}{TABLE_BEGIN}\n\n{body}\n\n{TABLE_END}{after}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    sign = "≤" if row["lower_is_better"] else "≥"
    verdict = row["verdict"] if row["valid"] else f"{row['verdict']} (not valid: busy machine)"
    return (
        f"`{row['name']}`" + (f": {row['note']}" if row.get("note") else ""),
        f"**{row['ratio']:g}**",
        f"{row['low']:g} to {row['high']:g}",
        f"{len(row['pairs'])}",
        "" if row["must"] is None else f"{sign} {row['must']:g}",
        "" if row["goal"] is None else f"{sign} {row['goal']:g}",
        verdict,
        _values(row, "ours"),
        _values(row, "baseline"),
        f"{row['load']['during']:.0%}",
        f"{row['date'][:10]}, {row['commit']}, {_machine(row['machine'])}",
    )


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['processors']} × {machine['processor']}"


def _beside_cells(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return medians over the pairs; a side without the detail stands with its own value."""
    ours, baseline = (
        median(float(pair[side].get(name, pair[side]["value"])) for pair in row["pairs"])
        for side in ("ours", "baseline")
    )
    return f"`{row['name']}`", name, _number(ours), _number(baseline), f"{ours / baseline:.3g}"


def _values(row: Mapping[str, Any], side: str) -> str:
    """Return the median of a side's values with the unit."""
    return f"{_number(median(pair[side]['value'] for pair in row['pairs']))} {row['unit']}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
