"""A dead letter's way back: listed, mended in a file, replayed through its intake."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from kafka import KafkaProducer
from market_supervision.complaints.v1.complaints_events_pb2 import ComplaintEvent

from services.cli.exit_codes import ExitCode
from services.contracts import topics
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.importing.endpoints import ENDPOINTS_VARIABLE
from services.importing.log_counts import count_log
from services.lifecycle.dead_letter import dead_letter
from services.local.system import LocalSystem
from services.runtime.kafka_topics import ensure_topics
from services.streaming.interface import SourceRecord

EXAMPLE = Path(__file__).resolve().parents[1] / "protos/examples/complaints/complaint_received.json"


@pytest.fixture
def system(kafka_bootstrap: str, run_directory: Path) -> Iterator[LocalSystem]:
    """Run the intake of complaints on topics of the test's own."""
    prefix = f"letters-{uuid.uuid4().hex[:8]}."
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        ensure_topics(kafka_bootstrap)
        running = LocalSystem(run_directory, kafka_bootstrap, redis_url="", prefix=prefix)
        stack.callback(running.stop)
        running.start("complaints")
        endpoints = running.write_endpoints(running.wait_serving(["complaints"]))
        patch.setenv(ENDPOINTS_VARIABLE, str(endpoints))
        yield running


def msctl(*arguments: str, code: int = ExitCode.OK) -> Any:
    """Run msctl dead-letters and return what it printed, as JSON where there is any."""
    command = [sys.executable, "-m", "services.cli.main", "dead-letters", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def write_dead_letter(system: LocalSystem, value: bytes, number: int) -> None:
    """Write a dead letter the way lifecycle does."""
    source = SourceRecord(topics.name("complaints.v1"), 3, number, 0, b"uscc:x", value, ())
    letter = dead_letter(
        topics.name("dead-letter.v1"), source, "SLOT_CONFLICT", "told otherwise", "内容冲突"
    )
    producer = KafkaProducer(bootstrap_servers=system.kafka_bootstrap_servers, acks="all")
    producer.send(
        letter.topic, key=letter.key, value=letter.value, headers=list(letter.headers), partition=3
    ).get(timeout=30)
    producer.close()


def records(system: LocalSystem) -> int:
    """Return the number of complaints on the log."""
    return count_log(system.kafka_bootstrap_servers)["complaints"].records


def test_dead_letter_is_mended_in_a_file_and_replayed_through_its_intake(
    system: LocalSystem, tmp_path: Path
) -> None:
    """The mended event goes in under a higher version; the original alone changes nothing twice."""
    event = Parse(EXAMPLE.read_text(encoding="utf-8"), ComplaintEvent())
    event.envelope.recorded_by = "somebody"
    write_dead_letter(system, event.SerializeToString(), 17)

    (listed,) = msctl("list", "-o", "json")
    assert (listed["id"], listed["event"], listed["reason_zh"]) == (
        "3:0",
        "complaint_received",
        "内容冲突",
    )
    assert listed["source"].endswith("complaints.v1/3/17")
    assert msctl("show", "3:0")["event"]["envelope"]["recordedBy"] == "somebody"

    receipt = msctl("replay", "3:0", "-o", "json")
    assert receipt == msctl("replay", "3:0", "-o", "json")
    assert records(system) == 1

    mended = tmp_path / "mended.json"
    msctl("mend", "3:0", "--to", str(mended))
    document = json.loads(mended.read_text(encoding="utf-8"))
    assert int(document["envelope"]["sourceVersion"]) == event.envelope.source_version + 1
    assert "recordedBy" not in document["envelope"]
    document["complaintReceived"]["disputedAmountFen"] = "12345"
    mended.write_text(json.dumps(document), encoding="utf-8")
    again = msctl("replay", "3:0", "--event", str(mended), "-o", "json")
    assert again["eventId"] != receipt["eventId"]
    assert records(system) == 2


def test_dead_letter_whose_bytes_are_no_event_is_shown_and_not_replayed(
    system: LocalSystem, tmp_path: Path
) -> None:
    """Bytes nobody can read are shown as they are; replaying them needs an event."""
    write_dead_letter(system, b"\xff\xfe", 4)
    assert msctl("show", "3:0")["value_hex"] == "fffe"
    msctl("replay", "3:0", code=ExitCode.USAGE)
    msctl("mend", "3:0", "--to", str(tmp_path / "a.json"), code=ExitCode.FAILED)
    msctl("show", "3:7", code=ExitCode.NOT_FOUND)
    assert records(system) == 0
