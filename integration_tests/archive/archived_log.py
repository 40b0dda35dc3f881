"""A log as a release wrote it, byte for byte, and the view that it comes to.

`<name>.jsonl.xz` holds the records of one partition in the order of their append times, the rules
they were judged by among them. `<name>.json` holds the outcome of folding them. Another outcome
means that a release judges the same past differently: the state has to be rebuilt after it, which
must be meant, and said in the changelog.
"""

import hashlib
import json
import lzma
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from market_supervision.alerts.v1.alert_pb2 import AlertRecord

from integration_tests.performance.step_workload import TOPICS, Worked
from services.lifecycle.digest import digest_records
from services.streaming.interface import SourceRecord

HOME = Path(__file__).parent
SUFFIX = ".jsonl.xz"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a log comes to."""

    records: int
    entities: int
    view: str
    """Digest of the view, SHA-256, hex."""
    alerts: str
    """SHA-256, hex, of all alert_event_ids, sorted."""
    alert_records: int
    dead_letters: int


def names() -> list[str]:
    """Return the names of the archived logs."""
    return sorted(file.name.removesuffix(SUFFIX) for file in HOME.glob(f"*{SUFFIX}"))


def write_log(name: str, records: Iterable[SourceRecord]) -> None:
    """Archive a log; never over one that is there."""
    with lzma.open(HOME / f"{name}{SUFFIX}", "xt", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_document(record)) + "\n")


def read_log(name: str) -> list[SourceRecord]:
    """Return the records of an archived log."""
    with lzma.open(HOME / f"{name}{SUFFIX}", "rt", encoding="utf-8") as file:
        return [_record(json.loads(line)) for line in file]


def expected(name: str) -> Outcome:
    """Return the recorded outcome of an archived log."""
    return Outcome(**json.loads(_outcome_file(name).read_text(encoding="utf-8")))


def write_outcome(name: str, outcome: Outcome) -> None:
    """Record what an archived log comes to."""
    text = json.dumps(asdict(outcome), indent=2) + "\n"
    _outcome_file(name).write_text(text, encoding="utf-8")


def replay(records: Sequence[SourceRecord]) -> Outcome:
    """Fold a log from its beginning with today's code."""
    worked = Worked()
    worked.work(records)
    view = digest_records(worked.store.committed.items())
    alerts = sorted(
        AlertRecord.FromString(side.value).alert_event_id for side in worked.side(TOPICS.alerts)
    )
    return Outcome(
        records=len(records),
        entities=len(view.entities),
        view=view.total,
        alerts=hashlib.sha256("\n".join(alerts).encode()).hexdigest(),
        alert_records=len(alerts),
        dead_letters=len(worked.side(TOPICS.dead_letter)),
    )


def _outcome_file(name: str) -> Path:
    return HOME / f"{name}.json"


def _document(record: SourceRecord) -> dict[str, object]:
    return {
        "topic": record.topic,
        "offset": record.offset,
        "append_time_ms": record.append_time_ms,
        "key": b64encode(record.key or b"").decode(),
        "value": b64encode(record.value or b"").decode(),
        "headers": [[name, b64encode(value or b"").decode()] for name, value in record.headers],
    }


def _record(document: dict[str, object]) -> SourceRecord:
    headers = document["headers"]
    assert isinstance(headers, list)
    return SourceRecord(
        str(document["topic"]),
        0,
        int(str(document["offset"])),
        int(str(document["append_time_ms"])),
        b64decode(str(document["key"])),
        b64decode(str(document["value"])),
        tuple((name, b64decode(value)) for name, value in headers),
    )
