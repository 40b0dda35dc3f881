"""What becomes of records: counted, corrected, linked, quarantined and brought back.

One system of real processes serves all tests of this module; each has entities of its own. Who
judges reads the raw topics, committed records only, and asks the profiles.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from kafka import KafkaProducer
from market_supervision.common.v1.envelope_pb2 import (
    DISPOSITION_MOVED,
    DISPOSITION_WITHDRAWN,
    EntityKey,
)
from market_supervision.intake.v1.intake_pb2 import Receipt
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_pb2 import EntityProfile
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.system.city_log import partition_of
from integration_tests.system.support import (
    Raw,
    accounted,
    counts,
    publish_rules,
    read_topic,
    records_on_log,
    submit,
    wait_folded,
)
from services.contracts import topics
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES, FAMILY_BY_NAME, FamilyEvent
from services.contracts.identifiers import event_id
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics
from services.synthetic.identity import credit_code, registration_number

MSCTL = Path(sys.executable).with_name("msctl")
_numbers = itertools.count(700_000)


class Served(NamedTuple):
    """A running system and where it answers."""

    kafka: str
    addresses: dict[str, str]


@pytest.fixture(scope="module")
def served(kafka_bootstrap: str, redis_url: str, session_directory: Path) -> Iterator[Served]:
    """A whole system on topics of its own."""
    prefix = f"records-{os.getpid()}."
    directory = session_directory / "records"
    with pytest.MonkeyPatch.context() as patch, owned_run_directory(directory):
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        ensure_topics(kafka_bootstrap)
        publish_rules(kafka_bootstrap)
        system = LocalSystem(directory, kafka_bootstrap, redis_url, prefix)
        try:
            system.start("lifecycle-0", *INTAKES, "projection", "profiles")
            yield Served(kafka_bootstrap, system.wait_serving())
            assert system.supervisor.check() == []
        finally:
            system.stop()


def company() -> EntityKey:
    """The key of an invented entity that no other test uses."""
    return EntityKey(scheme="uscc", value=credit_code("91", next(_numbers)))


def complaint(
    entity: EntityKey, *, record: str = "", matter: str = "", version: int = 1
) -> FamilyEvent:
    """A complaint about an entity; a record and a matter of its own unless named."""
    event = load_example("complaints", "complaint_received")
    envelope = event.envelope
    envelope.source_record_id = record or f"TS-{next(_numbers)}"
    envelope.matter_id = f"zs.complaint/{matter or envelope.source_record_id}"
    envelope.source_version = version
    envelope.entity_key.CopyFrom(entity)
    return event


def withdrawn(event: FamilyEvent) -> FamilyEvent:
    """The next version of an event, which takes it back."""
    following = type(event).FromString(event.SerializeToString())
    following.envelope.source_version += 1
    following.envelope.disposition = DISPOSITION_WITHDRAWN
    following.ClearField("body")
    return following


def profile(served: Served, key: str, receipt: Receipt | None = None) -> EntityProfile | None:
    """The profile by a canonical key, as fresh as a receipt; None where there is none."""
    with grpc.insecure_channel(served.addresses["profiles"]) as channel:
        request = profiles.GetEntityProfileRequest(
            name=f"entities/{key}",
            view=profiles.ENTITY_PROFILE_VIEW_FULL,
            at_least_as_fresh_as=receipt,
        )
        try:
            answer = EntityProfileServiceStub(channel).GetEntityProfile(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        found: EntityProfile = answer.profile
        return found


def canonical(key: EntityKey) -> str:
    """A key as it stands on the log."""
    return f"{key.scheme}:{key.value}"


def total(served: Served, key: EntityKey, name: str = "complaints") -> int:
    """A total of an entity's profile; 0 where there is none."""
    found = profile(served, canonical(key))
    return 0 if found is None else {each.name: each.value for each in found.totals}.get(name, 0)


def wait_totals(served: Served, *expected: tuple[EntityKey, int]) -> None:
    """Wait until the complaints counted for each entity are as expected."""
    numbers = [number for _key, number in expected]
    poll_until(
        lambda: [total(served, key) for key, _number in expected] == numbers,
        timeout_seconds=120,
        what=f"complaints are {numbers}",
        interval_seconds=0.5,
    )


def records_of(served: Served, entity: EntityKey, family: str = "complaints") -> list[FamilyEvent]:
    """The events on the log under an entity's key."""
    return [
        FAMILY_BY_NAME[family].parse(raw.value)
        for raw in read_topic(served.kafka, f"{family}.v1")
        if raw.key == canonical(entity).encode()
    ]


def test_correction_that_changes_the_entity_counts_once(served: Served) -> None:
    """A complaint filed against the wrong entity counts for the right one alone, once corrected."""
    wrong, right = company(), company()
    first = complaint(wrong)
    submit(served.addresses, first, complaint(wrong))
    wait_totals(served, (wrong, 2), (right, 0))
    record = first.envelope.source_record_id
    submit(served.addresses, complaint(right, record=record, version=2))
    wait_totals(served, (wrong, 1), (right, 1))
    moved = [
        event
        for event in records_of(served, wrong)
        if event.envelope.disposition == DISPOSITION_MOVED
    ]
    assert [(e.envelope.source_record_id, e.envelope.source_version) for e in moved] == [
        (record, 2)
    ]
    submit(served.addresses, complaint(wrong, record=record, version=3))
    wait_totals(served, (wrong, 2), (right, 0))


def test_correction_that_changes_the_matter_counts_once(served: Served) -> None:
    """A fact filed under the wrong matter counts once, in the right one, when it is corrected."""
    entity = company()
    first = complaint(entity, matter="TS-wrong")
    submit(served.addresses, first)
    record = first.envelope.source_record_id
    (receipt,) = submit(
        served.addresses, complaint(entity, record=record, matter="TS-right", version=2)
    )

    def matters() -> set[str]:
        found = profile(served, canonical(entity), receipt)
        assert found is not None
        return {each.matter_id for each in (*found.open_matters, *found.closed_matters)}

    poll_until(lambda: matters() == {"zs.complaint/TS-right"}, timeout_seconds=120, what="moved")
    assert total(served, entity) == 1


def test_linked_key_leads_new_events_and_readers_to_the_root(served: Served) -> None:
    """After regno → USCC, events sent with the old key land on the USCC; either key finds both."""
    old = EntityKey(scheme="regno", value=registration_number(next(_numbers)))
    code = company()
    link = load_example("registration", "entity_linked")
    link.envelope.source_record_id = f"LK-{next(_numbers)}"
    link.envelope.matter_id = f"zs.registration/{link.envelope.source_record_id}"
    link.envelope.entity_key.CopyFrom(old)
    link.entity_linked.to.CopyFrom(code)  # type: ignore[union-attr]
    (linked,) = submit(served.addresses, link, complaint(code))[:1]
    assert linked.entity_key == canonical(old)

    def filed_under_root() -> bool:
        (receipt,) = submit(served.addresses, complaint(old))
        return receipt.entity_key == canonical(code)

    poll_until(filed_under_root, timeout_seconds=120, what="intakes know the link")
    (last,) = submit(served.addresses, complaint(old))
    under_code = records_of(served, code)
    by_record = {event.envelope.event_id: event.envelope for event in under_code}
    assert by_record[last.event_id].submitted_entity_key == old
    # A link is about the key it gives up: its own next version stays where it stands.
    again = type(link).FromString(link.SerializeToString())
    again.envelope.source_version = 2
    (corrected,) = submit(served.addresses, again)
    assert corrected.entity_key == canonical(old)
    assert corrected.partition == linked.partition

    def linked_keys() -> list[str]:
        found = profile(served, canonical(code), last)
        return [] if found is None else list(found.linked_keys)

    poll_until(
        lambda: canonical(old) in " ".join(linked_keys()), timeout_seconds=120, what="linked"
    )

    def both() -> list[object]:
        """The two answers once they are one: links come by a topic of their own, a little later."""
        answers = [profile(served, canonical(key), last) for key in (code, old)]
        return list(answers) if answers[0] == answers[1] else []

    poll_until(both, timeout_seconds=120, what="either key leads to one profile")
    by_new = profile(served, canonical(code), last)
    assert by_new is not None
    assert by_new.entity_key == code


def _append(
    served: Served,
    short: str,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...] = (),
    partition: int = 0,
) -> None:
    """Put a record straight on a topic, past the intakes."""
    with KafkaProducer(bootstrap_servers=served.kafka, acks="all") as producer:
        producer.send(
            topics.name(short), key=key, value=value, headers=list(headers), partition=partition
        ).get(30)


def _raw_of(served: Served, receipt: Receipt) -> Raw:
    short = topics.short_name(receipt.topic)
    (found,) = (
        raw
        for raw in read_topic(served.kafka, short)
        if (raw.partition, raw.offset) == (receipt.partition, receipt.offset)
    )
    return found


def test_every_record_on_the_log_became_something(served: Served) -> None:
    """Records = applied + duplicates + superseded + dead letters; receipts = source versions."""
    wait_folded(served.kafka)
    before, letters_before = counts(served.kafka), len(read_topic(served.kafka, "dead-letter.v1"))
    entities = [company() for _ in range(5)]
    first = [complaint(entity) for entity in entities for _ in range(6)]
    corrections = [
        complaint(entities[-1], record=event.envelope.source_record_id, version=2)
        for event in first[:4]
    ]
    taken_back = [withdrawn(event) for event in first[6:10]]
    # Its second version comes before its first.
    late = complaint(entities[0], version=2)
    early = complaint(entities[0], record=late.envelope.source_record_id)
    events = [*first, *corrections, *taken_back, late, early]
    receipts = submit(served.addresses, *events)
    on_log = records_on_log(served.kafka)
    assert submit(served.addresses, *events) == receipts
    # What came past the intakes: the same record again, and bytes that are no event.
    twice = _raw_of(served, receipts[12])
    _append(served, "complaints.v1", twice.key, twice.value, twice.headers, twice.partition)
    partition = partition_of(canonical(entities[0]).encode())
    poison: list[tuple[bytes | None, bytes | None]] = [
        (b"anything", b"\xff\xfe not protobuf"),
        (canonical(entities[0]).encode(), twice.value[:-7]),
        (b"uscc:not-its-key", twice.value),
        (b"no-value", None),
    ]
    for key, value in poison:
        _append(served, "complaints.v1", key, value, (("trace", b"t\xff"),), partition)
    after_poison = complaint(entities[0])
    (receipt,) = submit(served.addresses, after_poison)
    assert receipt.partition == partition
    total_after = wait_folded(served.kafka)
    assert accounted(total_after) == records_on_log(served.kafka)
    moved = len(corrections)
    assert records_on_log(served.kafka) >= on_log + 1 + len(poison) + 1
    assert total_after.superseded - before.superseded == 1
    assert total_after.duplicates - before.duplicates == 1
    assert total_after.dead_lettered - before.dead_lettered == len(poison)
    wanted = len(events) - 1 + moved + 1
    assert total_after.applied - before.applied == wanted
    letters = read_topic(served.kafka, "dead-letter.v1")[letters_before:]
    new = [letter for letter in letters if dict(letter.headers).get("trace") == b"t\xff"]
    assert {(letter.key, letter.value) for letter in new} == {
        (key, value or b"") for key, value in poison
    }
    assert all(dict(letter.headers)["dlq-reason-zh"] for letter in new)
    wait_totals(served, (entities[0], 4), (entities[-1], 6 + 4))
    _assert_receipts_are_the_versions_on_the_log(served, receipts)


def _assert_receipts_are_the_versions_on_the_log(served: Served, receipts: list[Receipt]) -> None:
    on_log: dict[str, set[tuple[str, str, int]]] = {}
    for family in FAMILIES:
        for raw in read_topic(served.kafka, family.topic):
            if "payload-hash" in dict(raw.headers):
                envelope = family.parse(raw.value).envelope
                if envelope.disposition != DISPOSITION_MOVED:
                    version = (
                        envelope.source_system,
                        envelope.source_record_id,
                        envelope.source_version,
                    )
                    on_log.setdefault(envelope.event_id, set()).add(version)
    ids = [receipt.event_id for receipt in receipts]
    assert len(set(ids)) == len(ids)
    assert all(len(on_log[each]) == 1 for each in ids)
    assert len(set().union(*on_log.values())) == len(on_log)


def _msctl(served: Served, *arguments: str) -> Any:
    result = subprocess.run(
        [str(MSCTL), "dead-letters", *arguments],
        env={
            **os.environ,
            "MARKET_SUPERVISION_ENDPOINTS": json.dumps({**served.addresses, "kafka": served.kafka}),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout) if result.stdout.strip() else None


def test_dead_letter_is_found_shown_mended_and_replayed(served: Served, tmp_path: Path) -> None:
    """An officer brings an event back in that lay under another entity's key."""
    entity = company()
    (receipt,) = submit(served.addresses, complaint(entity))
    good = _raw_of(served, receipt)
    event = FAMILY_BY_NAME["complaints"].parse(good.value)
    stranger = f"TS-{next(_numbers)}"
    event.envelope.source_record_id = stranger
    event.envelope.matter_id = f"zs.complaint/{stranger}"
    event.envelope.event_id = event_id(event.envelope.source_system, stranger, 1)
    _append(served, "complaints.v1", b"uscc:elsewhere", event.SerializeToString(), good.headers)
    wait_folded(served.kafka)
    (listed,) = (
        letter
        for letter in _msctl(served, "list", "--output", "json")
        if letter["entity"] == "uscc:elsewhere"
    )
    assert listed["reason"] == "EVENT_INVALID"
    shown = _msctl(served, "show", listed["id"])
    assert shown["event"]["envelope"]["sourceRecordId"] == stranger
    mended = tmp_path / "mended.json"
    _msctl(served, "mend", listed["id"], "--to", str(mended))
    answer = _msctl(served, "replay", listed["id"], "--event", str(mended), "--output", "json")
    assert answer["entityKey"] == canonical(entity)
    wait_totals(served, (entity, 2))
