"""No cell can end an import: what does not fit into an event is a row problem."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.contracts.families import FAMILY_BY_NAME
from services.importing.canonical import parse_row
from services.importing.errors import RowProblem, RowRefusedError
from services.importing.ledger import Identity, Ledger, LedgerPaths
from services.importing.mapping import map_row
from services.importing.profiles import load_profile
from services.importing.readers import open_reader
from services.importing.rows import Row

ROW = {
    "统一社会信用代码": "91442000XX0000019R",
    "来源系统": "zs",
    "来源记录号": "1",
    "来源版本": "1",
    "事项编号": "1",
    "发生时间": "2024-03-01",
    "事件类型": "收到投诉",
    "问题类别": "FOOD_SAFETY",
}


def refused(column: str, value: Any) -> tuple[RowProblem, ...]:
    """Map a row of complaints with one bad cell; return what is wrong with it."""
    row = Row(2, {**ROW, column: value}, {})
    with pytest.raises(RowRefusedError) as raised:
        map_row(load_profile("default-complaints"), row)
    return raised.value.problems


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("发生时间", "0001-01-01"),
        ("发生时间", "9999-12-31T23:59:59-14:00"),
        ("争议金额（元）", "6222021234567890123"),
        ("争议金额（元）", "1e30"),
        ("争议金额（元）", "1e999999"),
        ("来源版本", "12345678901234567890"),
        ("来源版本", 12345678901234567890),
        ("来源记录号", "a\ud800"),
        ("统一社会信用代码", "\ud800"),
        ("事项编号", "\udfff"),
        ("问题类别", "\ud800"),
    ],
)
def test_cell_that_does_not_fit_is_a_row_problem(column: str, value: Any) -> None:
    """The row is refused with the column at fault; the rows after it are read."""
    assert any(
        column in problem.column or problem.column == "-" for problem in refused(column, value)
    )


def test_row_of_good_cells_is_taken() -> None:
    """The row the bad cells are put into is good itself."""
    map_row(load_profile("default-complaints"), Row(2, ROW, {}))


@pytest.mark.parametrize("text", ['"\\ud800"', "1e400", "99999999999999999999"])
@pytest.mark.parametrize("name", ["sourceRecordId", "sourceVersion"])
def test_canonical_value_that_does_not_fit_is_a_row_problem(text: str, name: str) -> None:
    """JSON can say what no field of an event can hold."""
    values = {"envelope": {name: json.loads(text)}}
    if text[0] != '"' and name == "sourceRecordId":
        values["envelope"][name] = [values["envelope"][name]]
    with pytest.raises(RowRefusedError):
        parse_row(FAMILY_BY_NAME["complaints"], Row(1, values, {}))


def test_rejects_file_takes_a_lone_surrogate(tmp_path: Path) -> None:
    """What UTF-8 cannot hold is shown as its escape, and the import goes on."""
    identity = Identity(file_name="a.jsonl", file_sha256="0", target="t")
    book = Ledger(LedgerPaths(tmp_path, "a.jsonl", None), identity, ("record",), restart=False)
    book.reject(Row(1, {}, {"record": "{}"}), refused("来源记录号", "a\ud800"))
    book.close(complete=True)
    written = (tmp_path / "a.jsonl.rejects.csv").read_text(encoding="utf-8-sig")
    assert "a\\ud800" in written
    assert len(list(open_reader(tmp_path / "a.jsonl.rejects.csv").rows())) == 1
