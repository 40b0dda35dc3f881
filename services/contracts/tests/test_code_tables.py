from datetime import date
from pathlib import Path

import pytest
from market_supervision.common.v1.envelope_pb2 import CodedValue

from services.contracts.code_tables import load_code_tables
from services.contracts.data_files import DataFileError

TABLES = load_code_tables()
DIVISIONS, INDUSTRIES = "GB/T 2260", "GB/T 4754-2017"
HEADER = "code,label_zh,label_en,parent,covers_prefix,valid_from,valid_to,provenance"
CATALOGUE = """
tables:
  - code_system: sample
    label: {zh: 示例, en: samples}
    rows: rows.csv
    pattern: '[A-Z]{1,3}'
    source: a test
"""
IN_2020, IN_2024 = date(2020, 6, 1), date(2024, 6, 1)


def division(code: str) -> CodedValue:
    """Code of an administrative division."""
    return CodedValue(code_system=DIVISIONS, code=code)


def test_tables_of_every_code_system_of_the_contract_are_there() -> None:
    """Without its table the codes of a system would all be refused, also those sent before."""
    assert set(TABLES.by_code_system) == {
        DIVISIONS,
        INDUSTRIES,
        "market-supervision/complaint-topics",
        "market-supervision/licence-types",
        "market-supervision/violations",
        "market-supervision/findings",
        "market-supervision/product-categories",
    }


def test_code_in_force_is_accepted() -> None:
    """The city, its towns and, by prefix, other provinces are known."""
    for code in ("442000", "442000101", "440106", "110105"):
        assert TABLES.problem(division(code), IN_2024) is None


def test_code_that_does_not_exist_is_named_with_table_and_day() -> None:
    """An unknown code is refused naming code, table and day in both languages."""
    problem = TABLES.problem(division("449999"), IN_2024)
    assert problem is not None
    assert problem.en == "no code '449999' in administrative divisions (GB/T 2260) on 2024-06-01"
    assert "449999" in problem.zh
    assert "行政区划代码" in problem.zh


def test_code_of_a_city_given_in_full_does_not_cover_what_is_missing() -> None:
    """Zhongshan's towns are listed one by one: a number that is none of them is refused."""
    assert TABLES.problem(division("442000999"), IN_2024) is not None


def test_code_is_judged_by_the_table_of_the_day() -> None:
    """A town merged in 2021 is known before, not after; its successor the other way round."""
    assert TABLES.problem(division("442000104"), IN_2020) is None
    assert TABLES.problem(division("442000104"), IN_2024) is not None
    assert TABLES.problem(division("442000118"), IN_2020) is not None
    assert TABLES.problem(division("442000118"), IN_2024) is None


def test_code_of_a_foreign_system_is_not_judged() -> None:
    """A table binds its own code system only: another city's codes pass."""
    foreign = CodedValue(code_system="chicago/licence-code", code="449999")
    assert TABLES.problem(foreign, IN_2024) is None
    assert TABLES.label(foreign, IN_2024) is None


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("H", "住宿和餐饮业"),
        ("H62", "餐饮业"),
        ("H6210", "正餐服务"),
        ("H6229", "餐饮业"),
        ("C3872", "照明灯具制造"),
    ],
)
def test_industry_is_labelled_by_its_row_or_the_division_above(code: str, label: str) -> None:
    """A class without a row of its own goes under its division."""
    found = TABLES.label(CodedValue(code_system=INDUSTRIES, code=code), IN_2024)
    assert found is not None
    assert found.zh == label


@pytest.mark.parametrize("code", ["H6", "H621000", "H98", "U01", "h62", "6210"])
def test_industry_of_another_form_is_refused(code: str) -> None:
    """Neither a wrong length nor a division that does not exist is an industry."""
    assert TABLES.problem(CodedValue(code_system=INDUSTRIES, code=code), IN_2024)


def test_label_of_a_retired_code_is_still_told() -> None:
    """An old record keeps its label though its code is out of force."""
    label = TABLES.label(division("442000104"), IN_2024)
    assert label is not None
    assert label.zh == "东升镇"


def write_table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write a catalogue of one table with these rows; return the file of the rows."""
    (folder / "tables.yaml").write_text(CATALOGUE, encoding="utf-8")
    path = folder / "rows.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return path


def test_table_saved_by_a_spreadsheet_with_a_mark_is_read(tmp_path: Path) -> None:
    """A byte-order mark before the header does no harm."""
    write_table(tmp_path, "A,甲,A,,,2024-01-01,,test", "A,旧甲,A,,,,2023-12-31,test")
    table = load_code_tables(tmp_path).by_code_system["sample"]
    row = table.lookup("A", IN_2020)
    assert row is not None
    assert row.label_zh == "旧甲"


@pytest.mark.parametrize(
    ("rows", "place", "reason"),
    [
        (["A,甲,A,,,2024-13-01,,test"], "line 2, valid_from", "date"),
        (["A,甲,A,,,,,test", "1,乙,B,,,,,test"], "line 3, code", "does not match"),
        (["A,甲,A,B,,,,test"], "line 2, parent", "no row has the code 'B'"),
        (["A,,A,,,,,test"], "line 2, label_zh", "required"),
        (["A,甲,A,,,2024-01-02,2024-01-01,test"], "line 2, valid_to", "before"),
        (["A,甲,A,,,,,test", "A,乙,A,,,2024-01-01,,test"], "line 3, code", "line 2"),
        (["A,甲,A"], "line 2", "not as many cells"),
        (["A,甲,A,,,,,test,more"], "line 2", "not as many cells"),
    ],
)
def test_table_with_a_bad_row_is_refused_at_its_place(
    tmp_path: Path, rows: list[str], place: str, reason: str
) -> None:
    """A bad row stops the start, naming file, line, column and reason."""
    path = write_table(tmp_path, *rows)
    with pytest.raises(DataFileError) as caught:
        load_code_tables(tmp_path)
    assert (caught.value.path, caught.value.place) == (path, place)
    assert reason in caught.value.reason


def test_table_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    """A column nobody knows is a mistake, not decoration."""
    path = write_table(tmp_path, "A,甲,A,,,,,test,x", header=HEADER + ",colour")
    with pytest.raises(DataFileError, match="colour") as caught:
        load_code_tables(tmp_path)
    assert caught.value.path == path


def test_table_whose_file_is_missing_is_named(tmp_path: Path) -> None:
    """A catalogue that names a missing file says which."""
    (tmp_path / "tables.yaml").write_text(CATALOGUE, encoding="utf-8")
    with pytest.raises(DataFileError, match=r"rows\.csv"):
        load_code_tables(tmp_path)
