"""Import the two real public data sets whole: `python -m services.importing.real --data DIR`.

Uses the system that is running (MARKET_SUPERVISION_ENDPOINTS or .run/endpoints.json), else starts a
broker and the four intakes of its own. Ends with 0 only when every row is accounted for and the log
holds exactly what there are receipts for; with 2 when the data sets are not there.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.importing.endpoints import Endpoints, find_endpoints
from services.importing.errors import ImportingError, ServiceRefusedError
from services.importing.log_counts import LogCount, count_log
from services.importing.own_services import own_services
from services.importing.run import ImportRequest, import_file
from services.importing.session import Progress, Result

EXIT_UNACCOUNTED: Final = 1
EXIT_NO_DATA: Final = 2
TELL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class DataSet:
    """One real data set."""

    file_name: str
    profile: str
    rows: int


DATA_SETS: Final = (
    DataSet("toronto_dinesafe_2001_2012.jsonl.gz", "toronto-dinesafe", 83_503),
    DataSet("chicago_food_1996_2013.jsonl.gz", "chicago-food", 95_909),
)


class DataMissingError(Exception):
    """A real data set is not in the folder given."""


def find_data(folder: Path) -> dict[DataSet, Path]:
    """Return where the data sets are; raise DataMissingError naming those that are not there."""
    found = {data_set: folder / data_set.file_name for data_set in DATA_SETS}
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        raise DataMissingError(
            f"{folder} lacks {', '.join(missing)}: the real public data sets are not part of the "
            f"repository; name their folder with --data (缺少真实数据文件, 请用 --data 指定目录)"
        )
    return found


def import_all(
    data: dict[DataSet, Path], endpoints: Endpoints, folder: Path, tell: Callable[[str], None]
) -> list[str]:
    """Import every data set and compare with the log; return what does not add up."""
    faults: list[str] = []
    accepted: dict[str, int] = {}
    before = count_log(endpoints.address("kafka"))
    for data_set, path in data.items():
        begun_at = time.monotonic()
        request = ImportRequest(path, None, data_set.profile, folder, restart=True)
        result = import_file(request, endpoints, _Telling(data_set.profile, tell).show)
        seconds = time.monotonic() - begun_at
        _tell_result(data_set, result, seconds, tell)
        if result.failure is not None:
            faults.append(f"{data_set.profile}: {result.failure}")
        if result.rows != data_set.rows or result.rows != result.accepted + result.rejected:
            faults.append(f"{data_set.profile}: rows are not receipts + rejects")
        for family, count in result.accepted_by_family.items():
            accepted[family] = accepted.get(family, 0) + count
    after = count_log(endpoints.address("kafka"))
    return faults + _compare(accepted, before, after, tell)


def _compare(
    accepted: dict[str, int],
    before: dict[str, LogCount],
    after: dict[str, LogCount],
    tell: Callable[[str], None],
) -> list[str]:
    faults: list[str] = []
    for family, count in after.items():
        new_records = count.records - before[family].records
        new_versions = count.source_versions - before[family].source_versions
        receipts = accepted.get(family, 0)
        tell(
            f"log {family}: {count.records} records, {count.source_versions} source versions; "
            f"added {new_records} by {receipts} receipts"
        )
        # On a log that held them before, nothing is added; on an empty one, all of them.
        if new_records != new_versions or new_records not in {0, receipts}:
            faults.append(f"{family}: {receipts} receipts, but {new_records} records were added")
    return faults


def _tell_result(
    data_set: DataSet, result: Result, seconds: float, tell: Callable[[str], None]
) -> None:
    tell(
        f"{data_set.profile}: rows {result.rows} = receipts {result.accepted} "
        f"+ rejects {result.rejected}; {seconds:.1f} s, {result.rows / seconds:,.0f} rows/s; "
        f"by family {dict(result.accepted_by_family)}"
    )
    for reason, count in sorted(result.rejected_by_reason.items(), key=lambda item: -item[1]):
        tell(f"  {count} rejected: {reason}")


class _Telling:
    """Says where an import stands, now and then."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._name = name
        self._tell = tell
        self._told_at = time.monotonic()

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self._tell(f"{self._name}: {progress.settled}/{progress.rows}")


def _services(folder: Path) -> AbstractContextManager[Endpoints]:
    running = find_endpoints()
    try:
        running.address("registration")
    except ServiceRefusedError:
        return own_services(folder)
    return nullcontext(running)


def main() -> int:
    """Import the real data sets; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the two files")
    parser.add_argument(
        "--run", type=Path, default=Path(".run/import-real"), help="folder of services and rejects"
    )
    options = parser.parse_args()
    try:
        data = find_data(options.data)
    except DataMissingError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NO_DATA
    try:
        with _services(options.run) as endpoints:
            faults = import_all(data, endpoints, options.run / "rejects", _say)
    except ImportingError as error:
        faults = [str(error)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return EXIT_UNACCOUNTED if faults else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
