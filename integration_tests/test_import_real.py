"""The real public data sets go in whole; run by `make import-real REAL_DATA=DIR`, fails without."""

import os
import sys
from pathlib import Path

import pytest

from services.contracts.families import FAMILIES
from services.importing.own_services import own_services
from services.importing.real import DATA_SETS, DataMissingError, find_data, import_all

DATA_VARIABLE = "REAL_DATA"


def test_real_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Without the files the import fails, and says which are missing."""
    (tmp_path / DATA_SETS[0].file_name).touch()
    with pytest.raises(DataMissingError) as caught:
        find_data(tmp_path)
    assert DATA_SETS[1].file_name in str(caught.value)
    assert DATA_SETS[0].file_name not in str(caught.value)


@pytest.mark.real_data
@pytest.mark.timeout(3600)
def test_real_data_goes_in_whole_and_a_second_time_adds_nothing(tmp_path: Path) -> None:
    """Rows = receipts + rejects, the log grows by the receipts, and then not at all."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.fail(f"set {DATA_VARIABLE} to the folder of the real data sets (make import-real)")
    data = find_data(Path(folder))
    with own_services(tmp_path / "run") as endpoints:
        assert import_all(data, endpoints, tmp_path / "first", say) == []
        told: list[str] = []
        assert import_all(data, endpoints, tmp_path / "second", told.append) == []
    grown = [line for line in told if line.startswith("log ")]
    assert len(grown) == len(FAMILIES)
    assert all("added 0 by" in line for line in grown)


def say(line: str) -> None:
    """Show a line of the report where pytest shows output (`-s`)."""
    sys.stdout.write(f"{line}\n")
