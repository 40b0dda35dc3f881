"""The fixed stretch of a synthetic city that `step_workload` works off: where it begins.

    python -m integration_tests.performance.step_prepared PREPARED

Works off the history of a small city, all but its last events, and writes to PREPARED how the
partition stands and what comes next. Run with PYTHONHASHSEED=0 it is the same every time.
"""

import pickle
import sys
from pathlib import Path

from market_supervision.control.v1.control_pb2 import ControlRecord

from integration_tests.performance.step_workload import (
    EVENTS,
    TOPICS,
    WARM_UP_RECORDS,
    Prepared,
    Worked,
)
from integration_tests.system.city_log import CONTROL, city_log
from services.contracts.bundles import build_bundle, read_files
from services.streaming.interface import SourceRecord

ENTITIES = 200


def city_records() -> list[SourceRecord]:
    """Return the log of a small city as one partition, the rules first."""
    log = city_log(ENTITIES)
    bundle = ControlRecord(rule_bundle=build_bundle(read_files(), 1, log.city.clearing))
    records = [_record(CONTROL, 0, log.begins_ms - 1, b"c", bundle.SerializeToString(), ())]
    offsets: dict[str, int] = {CONTROL: 1}
    for written in log.records:
        if written.topic == CONTROL and written.partition != 0:
            continue  # all entities are put into one partition, which has one series of ticks
        offset = offsets.get(written.topic, 0)
        offsets[written.topic] = offset + 1
        records.append(
            _record(
                written.topic,
                offset,
                written.timestamp_ms,
                written.key,
                written.value,
                written.headers,
            )
        )
    return records


def prepare() -> Prepared:
    """Work off the city's history, and return where it stands with the records of its end."""
    records = city_records()
    events = 0
    end = len(records)
    while events < EVENTS:
        end -= 1
        events += records[end].topic != TOPICS.control
    end -= WARM_UP_RECORDS
    worked = Worked()
    worked.work(records[:end])
    store = worked.store
    return Prepared(store.committed, store.local, worked.stream_time_ms, tuple(records[end:]))


def _record(
    topic: str,
    offset: int,
    append_time_ms: int,
    key: bytes,
    value: bytes,
    headers: tuple[tuple[str, bytes], ...],
) -> SourceRecord:
    return SourceRecord(topic, 0, offset, append_time_ms, key, value, headers)


def main() -> None:
    """Prepare, and write it down."""
    Path(sys.argv[1]).write_bytes(pickle.dumps(prepare()))


if __name__ == "__main__":
    main()
