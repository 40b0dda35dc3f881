"""Import the two real public data sets whole: `python -m services.importing.real --data DIR`.

Uses the system that is running (MARKET_SUPERVISION_ENDPOINTS or .run/endpoints.json), else starts a
broker and the four intakes of its own. Ends with 0 only when every row is accounted for and the log
holds exactly what there are receipts for; with 2 when the data sets are not there.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
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
    source_prefix: str
    """What the names of its source systems begin with."""


DATA_SETS: Final = (
    DataSet("toronto_dinesafe_2001_2012.jsonl.gz", "toronto-dinesafe", 83_503, "toronto."),
    DataSet("chicago_food_1996_2013.jsonl.gz", "chicago-food", 95_909, "chicago."),
)


SOURCE_PREFIXES: Final = tuple(data_set.source_prefix for data_set in DATA_SETS)


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
    receipts: dict[str, set[str]] = {}
    for data_set, path in data.items():
        begun_at = time.monotonic()
        written = folder / f"{data_set.profile}.receipts.jsonl"
        request = ImportRequest(
            path, None, data_set.profile, folder, receipts=written, restart=True
        )
        result = import_file(request, endpoints, _Telling(data_set.profile, tell).show)
        seconds = time.monotonic() - begun_at
        _tell_result(data_set, result, seconds, tell)
        if result.failure is not None:
            faults.append(f"{data_set.profile}: {result.failure}")
        if result.rows != data_set.rows or result.rows != result.accepted + result.rejected:
            faults.append(f"{data_set.profile}: rows are not receipts + rejects")
        for family, event_ids in _event_ids(written).items():
            receipts.setdefault(family, set()).update(event_ids)
    return faults + compare(receipts, count_log(endpoints.address("kafka")), tell)


def _event_ids(written: Path) -> dict[str, set[str]]:
    """Return the event ids in a file of receipts, by family."""
    found: dict[str, set[str]] = {}
    with written.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            found.setdefault(document["family"], set()).add(document["receipt"]["eventId"])
    return found


def compare(
    receipts: Mapping[str, set[str]], log: Mapping[str, LogCount], tell: Callable[[str], None]
) -> list[str]:
    """Return where the log does not hold exactly the events there are receipts for, each once.

    ``receipts``: event ids by family. Only the source systems of the data sets are looked at, as a
    whole: it makes no difference what an earlier run, also an interrupted one, had brought in.
    """
    faults: list[str] = []
    for family, count in log.items():
        ours = [name for name in count.event_ids if name.startswith(SOURCE_PREFIXES)]
        on_log = {each for name in ours for each in count.event_ids[name]}
        records = sum(count.records_by_source_system[name] for name in ours)
        given = receipts.get(family, set())
        tell(
            f"log {family}: {count.records} records, {count.source_versions} source versions; "
            f"of the data sets {records} records, {len(on_log)} source versions, "
            f"{len(given)} receipts"
        )
        if missing := len(given - on_log):
            faults.append(f"{family}: {missing} receipts are of no event on the log")
        if surplus := len(on_log - given):
            faults.append(f"{family}: {surplus} events on the log have no receipt")
        if records != len(on_log):
            faults.append(f"{family}: {records} records hold {len(on_log)} source versions")
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
