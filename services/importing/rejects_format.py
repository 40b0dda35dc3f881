"""The form of a rejects file (拒收文件), which the CSV reader also takes back.

CSV in UTF-8 with a byte-order mark (spreadsheets open it as such). Columns that begin with
`reject.` say what is wrong; the columns after them are the original row. Mend those, save, and
import the file like the one it came from: the `reject.` columns are passed over.
"""

from collections.abc import Mapping, Sequence

from services.importing.errors import RowProblem
from services.importing.rows import Row

PREFIX = "reject."
REJECT_COLUMNS = (
    "reject.file",
    "reject.row",
    "reject.column",
    "reject.value",
    "reject.reason_en",
    "reject.reason_zh",
)

# A spreadsheet takes a cell that begins so for a formula and would run it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")
_ESCAPE = "'"


def is_rejects_header(columns: Sequence[str]) -> bool:
    """Tell whether a CSV header is that of a rejects file."""
    return tuple(columns[: len(REJECT_COLUMNS)]) == REJECT_COLUMNS


def reject_cells(
    file_name: str, row: Row, problems: Sequence[RowProblem], columns: Sequence[str]
) -> list[str]:
    """Return the cells of one refused row: one line a row, its problems side by side."""
    described = [
        file_name,
        str(row.number),
        "; ".join(dict.fromkeys(problem.column for problem in problems)),
        "; ".join(dict.fromkeys(problem.value for problem in problems)),
        "; ".join(problem.reason.en for problem in problems),
        "; ".join(problem.reason.zh for problem in problems),
    ]
    originals = [row.original.get(column, "") for column in columns]
    return [escape(cell) for cell in (*described, *originals)]


def original_cells(cells: Mapping[str, str]) -> dict[str, str]:
    """Return the original row out of a line of a rejects file."""
    return {
        column: unescape(cell) for column, cell in cells.items() if not column.startswith(PREFIX)
    }


def escape(cell: str) -> str:
    """Return the cell so that no spreadsheet takes it for a formula; `unescape` undoes it."""
    return _ESCAPE + cell if cell.startswith(_FORMULA_STARTS) else cell


def unescape(cell: str) -> str:
    """Return what `escape` was given."""
    return cell.removeprefix(_ESCAPE)
