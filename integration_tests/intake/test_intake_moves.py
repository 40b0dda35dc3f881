"""A correction that changes the entity or the matter: the fact is moved out of where it stood."""

from pathlib import Path

import pytest
from kafka import KafkaProducer
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent

from integration_tests.intake.support import (
    IntakeInstance,
    LogRecord,
    canonical,
    inspection,
    read_log,
    running,
    submit_all,
    uscc,
)
from services.contracts import topics
from services.local.waiting import poll_until

MOVED = Disposition.DISPOSITION_MOVED

FIRST = inspection(1, entity=1)
OTHER_ENTITY = inspection(1, version=2, entity=2)
OTHER_MATTER = inspection(1, version=2, entity=1, matter="zs.inspection/JC-ELSEWHERE")


def moved_records(bootstrap_servers: str) -> list[LogRecord]:
    """Return the MOVED records on the topic."""
    records = read_log(bootstrap_servers)
    return [record for record in records if record.event.envelope.disposition == MOVED]


def wait_for_moved(bootstrap_servers: str, count: int) -> list[LogRecord]:
    """Wait until there are ``count`` MOVED records, and return them."""
    return poll_until(
        lambda: found if len(found := moved_records(bootstrap_servers)) >= count else [],
        timeout_seconds=120,
        what="MOVED records",
        interval_seconds=0.5,
    )


def write_past_the_intake(bootstrap_servers: str, event: InspectionEvent) -> None:
    """Append what an intake would have, had it been killed right after its first publish."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    key = event.envelope.entity_key
    producer.send(
        topics.name("inspections.v1"),
        key=f"{key.scheme}:{key.value}".encode(),
        value=canonical(event),
    ).get(timeout=20)
    producer.close()


def assert_moved_out(record: LogRecord, left: InspectionEvent, version: int) -> None:
    """Check that a MOVED record takes the fact away from the place it left."""
    envelope = record.event.envelope
    assert record.source_key == (left.envelope.source_record_id, version)
    assert envelope.entity_key == left.envelope.entity_key
    assert envelope.matter_id == left.envelope.matter_id
    assert envelope.event_time == left.envelope.event_time
    assert record.event.WhichOneof("body") is None
    assert envelope.event_id == record.headers["ce_id"].decode()


@pytest.mark.parametrize("correction", [OTHER_ENTITY, OTHER_MATTER], ids=["entity", "matter"])
def test_correction_with_another_place_moves_the_fact_once(
    broker: str, run_directory: Path, correction: InspectionEvent
) -> None:
    """The intake writes one MOVED record at the old place; it is nobody's receipt."""
    with running(IntakeInstance("one", run_directory)) as one:
        submit_all(one, [FIRST])
        (outcome,) = submit_all(one, [correction])
        (moved,) = wait_for_moved(broker, 1)
        again = submit_all(one, [FIRST, correction])
    assert_moved_out(moved, FIRST, version=2)
    assert moved.event.envelope.event_id != outcome.receipt.event_id
    assert (outcome.receipt.partition, outcome.receipt.offset) != (moved.partition, moved.offset)
    assert canonical(again[1].receipt) == canonical(outcome.receipt)
    with running(IntakeInstance("two", run_directory)) as two:
        assert canonical(submit_all(two, [correction])[0].receipt) == canonical(outcome.receipt)
    assert len(read_log(broker)) == 3


@pytest.mark.parametrize("correction", [OTHER_ENTITY, OTHER_MATTER], ids=["entity", "matter"])
def test_intake_killed_between_its_publishes_moves_the_fact_when_it_is_back(
    broker: str, run_directory: Path, correction: InspectionEvent
) -> None:
    """A correction on the log without its MOVED record gets it at the next start, and only then."""
    with running(IntakeInstance("one", run_directory)) as one:
        submit_all(one, [FIRST])
    write_past_the_intake(broker, correction)
    with running(IntakeInstance("one", run_directory)):
        (moved,) = wait_for_moved(broker, 1)
    assert_moved_out(moved, FIRST, version=2)
    with running(IntakeInstance("other", run_directory)) as other:
        submit_all(other, [inspection(2)])
    assert len(moved_records(broker)) == 1


def test_correction_that_arrives_before_the_first_version_moves_it_all_the_same(
    broker: str, run_directory: Path
) -> None:
    """Order of arrival does not matter: the lower version is moved out of its place."""
    with running(IntakeInstance("one", run_directory)) as one:
        submit_all(one, [OTHER_ENTITY])
        submit_all(one, [FIRST])
        (moved,) = wait_for_moved(broker, 1)
    assert_moved_out(moved, FIRST, version=2)


def test_fact_that_returns_to_its_first_entity_stands_there_under_the_third_version(
    broker: str, run_directory: Path
) -> None:
    """A, then B, then A again: both places left are moved out, the last version stays."""
    back = inspection(1, version=3, entity=1)
    with running(IntakeInstance("one", run_directory)) as one:
        for event in (FIRST, OTHER_ENTITY):
            submit_all(one, [event])
        wait_for_moved(broker, 1)
        submit_all(one, [back])
        moved = wait_for_moved(broker, 2)
    left = {(each.event.envelope.entity_key.value, each.source_key[1]) for each in moved}
    assert left == {(uscc(1), 2), (uscc(2), 3)}
