"""The same request has the same receipt and one effect, whoever takes it and whatever dies."""

import asyncio
import itertools
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.intake.v1.intake_pb2 import Receipt

from integration_tests.intake.support import (
    IntakeInstance,
    batch,
    batch_request,
    canonical,
    first_places,
    inspection,
    read_log,
    running,
    submit_all,
    submit_request,
    unary,
    uscc,
)
from services.contracts import topics
from services.contracts.identifiers import event_id

CLIENTS = 64
KEYS = 1_000
CLIENT_BATCH = 50


async def submit_until_known(
    calls: Sequence[Callable[..., Any]], numbers: Sequence[int], seed: random.Random
) -> dict[int, bytes]:
    """Submit inspections to either instance, again and again until each has a receipt."""
    receipts: dict[int, bytes] = {}
    for _ in range(200):
        missing = [number for number in numbers if number not in receipts]
        if not missing:
            return receipts
        request = batch_request([inspection(number) for number in missing])
        try:
            answer = await seed.choice(calls)(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.05)
            continue
        for number, outcome in zip(missing, answer.outcomes, strict=True):
            if outcome.HasField("receipt"):
                receipts[number] = canonical(outcome.receipt)
    raise AssertionError(f"no receipts for {missing}")


async def race(instances: list[IntakeInstance], victim: IntakeInstance) -> list[dict[int, bytes]]:
    """Let all clients submit all keys, each in an order of its own; kill one instance midway."""
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    channels = [grpc.aio.insecure_channel(each.address, options=options) for each in instances]
    calls = [batch(channel) for channel in channels]
    midway = asyncio.Event()
    known = itertools.count()

    async def client(number: int) -> dict[int, bytes]:
        seed = random.Random(number)
        order = seed.sample(range(KEYS), KEYS)
        receipts: dict[int, bytes] = {}
        for at in range(0, KEYS, CLIENT_BATCH):
            receipts |= await submit_until_known(calls, order[at : at + CLIENT_BATCH], seed)
            if next(known) == CLIENTS:
                midway.set()
        return receipts

    async def kill_midway() -> None:
        await midway.wait()
        victim.process.signal(signal.SIGKILL)

    killing = asyncio.create_task(kill_midway())
    answers = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    await killing
    for channel in channels:
        await channel.close()
    return answers


def test_racing_clients_when_one_of_two_instances_dies_get_equal_receipts(
    broker: str, run_directory: Path
) -> None:
    """Whoever submits a source version, to whichever instance, gets the same receipt bytes.

    The receipt names the lowest offset at which the version stands, and the killed instance gives
    the same ones when it is back.
    """
    one, two = IntakeInstance("one", run_directory), IntakeInstance("two", run_directory)
    with running(one), running(two):
        receipts, *others = asyncio.run(race([one, two], victim=two))
        assert len(receipts) == KEYS
        assert all(other == receipts for other in others)
        two.process.stop()
        two.start()
        again = submit_all(two, [inspection(key) for key in range(KEYS)])
        assert [canonical(each.receipt) for each in again] == [receipts[k] for k in range(KEYS)]
    places = first_places(read_log(broker))
    assert set(places) == {(f"JC-{key}", 1) for key in range(KEYS)}
    for key, found in receipts.items():
        receipt = Receipt.FromString(found)
        assert (receipt.partition, receipt.offset) == places[f"JC-{key}", 1]
        assert receipt.event_id == event_id("zs.inspection", f"JC-{key}", 1)
        assert receipt.topic == topics.name("inspections.v1")
        assert receipt.entity_key == f"uscc:{uscc(key % 500)}"


def test_batch_sent_again_after_restart_on_an_empty_index_adds_no_record(
    broker: str, run_directory: Path
) -> None:
    """A whole file sent again costs nothing downstream, and has the receipts it had."""
    events: list[InspectionEvent] = [inspection(number) for number in range(800)]
    with running(IntakeInstance("one", run_directory)) as one:
        first = submit_all(one, events)
        same = submit_all(one, events)
    with running(IntakeInstance("one", run_directory)) as one:
        restarted = submit_all(one, events)
    with running(IntakeInstance("other", run_directory)) as other:
        elsewhere = submit_all(other, events)
    assert all(outcome.HasField("receipt") for outcome in first)
    expected = [canonical(outcome) for outcome in first]
    for again in (same, restarted, elsewhere):
        assert [canonical(outcome) for outcome in again] == expected
    assert len(read_log(broker)) == len(events)


def details_of(status: Status) -> tuple[ErrorInfo, LocalizedMessage, BadRequest]:
    """Return the details of a status by kind."""
    found = (ErrorInfo(), LocalizedMessage(), BadRequest())
    for packed in status.details:
        assert isinstance(packed, PackedAny)
        for kind in found:
            packed.Unpack(kind)
    return found


def test_other_content_under_the_same_version_is_refused_naming_both(
    broker: str, run_directory: Path
) -> None:
    """ALREADY_EXISTS names both payload hashes and the receipt that stands; nothing is written."""
    with running(IntakeInstance("one", run_directory)) as one:
        (stands,) = submit_all(one, [inspection(1)])
        both = submit_all(one, [inspection(1, seconds_later=1), inspection(2)])
    assert both[1].HasField("receipt")
    status = both[0].refusal.status
    assert status.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    info, chinese, _ = details_of(status)
    assert info.reason == "SOURCE_VERSION_CONFLICT"
    assert info.metadata["stored_payload_hash"] == stands.receipt.payload_hash
    assert info.metadata["submitted_payload_hash"] not in ("", stands.receipt.payload_hash)
    assert info.metadata["offset"] == str(stands.receipt.offset)
    assert "source_version" in chinese.message
    assert len(read_log(broker)) == 2


def test_racing_contents_of_one_version_in_one_batch_give_one_receipt_and_one_conflict(
    broker: str, run_directory: Path
) -> None:
    """Of two contents of one version submitted together one is taken, the other told so."""
    with running(IntakeInstance("one", run_directory)) as one:
        outcomes = submit_all(one, [inspection(1), inspection(1, seconds_later=1), inspection(1)])
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == [
        "receipt",
        "refusal",
        "receipt",
    ]
    assert canonical(outcomes[0].receipt) == canonical(outcomes[2].receipt)
    assert len(read_log(broker)) == 1


def test_invalid_event_is_refused_with_field_value_and_reason_in_both_languages(
    broker: str, run_directory: Path
) -> None:
    """The unary answer carries BadRequest, ErrorInfo and a Chinese message; nothing is written."""
    event = inspection(1)
    event.envelope.entity_key.value = "91442000XX0000019O"
    with (
        running(IntakeInstance("one", run_directory)) as one,
        grpc.insecure_channel(one.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        unary(channel)(submit_request(event), timeout=10)
    trailing = {item.key: item.value for item in caught.value.trailing_metadata()}
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info, chinese, bad = details_of(Status.FromString(trailing["grpc-status-details-bin"]))
    assert info.reason == "ENTITY_KEY_INVALID"
    (found,) = bad.field_violations
    assert found.field == "envelope.entity_key.value"
    assert "91442000XX0000019O" in found.description
    assert "91442000XX0000019O" in chinese.message
    assert read_log(broker) == []
