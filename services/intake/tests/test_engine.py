"""What the engine answers, on a log in memory that passes what the real publisher passes."""

import asyncio
from collections.abc import Sequence

import pytest
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.intake.v1.intake_pb2 import Receipt

from services.contracts.code_tables import load_code_tables
from services.contracts.families import FAMILY_BY_NAME
from services.contracts.key_schemes import load_key_schemes
from services.intake.engine import EngineSettings, IndexHoleError, IntakeEngine, Outcome
from services.intake.pipeline import Pipeline
from services.intake.placement import Entry, SourceKey
from services.intake.publisher import NotSent, OutcomeUnknown
from services.intake.testing import MemoryLog, check_publisher
from services.runtime.errors import (
    BufferFullError,
    EntityKeyInvalidError,
    NotReadyError,
    OutcomeUnknownError,
    SourceVersionConflictError,
)

FAMILY = FAMILY_BY_NAME["inspections"]
KEY_SCHEMES, CODE_TABLES = load_key_schemes(), load_code_tables()


def inspection(number: int, *, kind: int = 1, uscc: str = "91442000XX0000019R") -> InspectionEvent:
    """Return a small valid event."""
    event = InspectionEvent()
    envelope = event.envelope
    envelope.source_system = "zs"
    envelope.source_record_id = f"JC-{number}"
    envelope.source_version = 1
    envelope.disposition = 1  # type: ignore[assignment]
    envelope.entity_key.scheme, envelope.entity_key.value = "uscc", uscc
    envelope.matter_id = f"zs/JC-{number}"
    envelope.event_time.FromSeconds(1_700_000_000)
    event.inspection_planned.kind = kind  # type: ignore[assignment]
    event.inspection_planned.planned_date.year = 2026
    event.inspection_planned.planned_date.month = 1
    event.inspection_planned.planned_date.day = 5
    return event


def engine_on(log: MemoryLog, settings: EngineSettings | None = None) -> IntakeEngine:
    """Return an engine that is ready."""
    engine = IntakeEngine(
        FAMILY,
        "topic",
        pipeline=Pipeline(FAMILY, KEY_SCHEMES, CODE_TABLES, lambda _, key: key),
        index=log,
        reader=log,
        publisher=log,
        now_ns=lambda: 1_795_000_000_000_000_000,
        settings=settings or EngineSettings(),
    )
    engine.is_ready = True
    return engine


async def submit(engine: IntakeEngine, events: Sequence[InspectionEvent]) -> list[Outcome]:
    """Submit events as one client."""
    return await engine.submit(events, "client")


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the kind of each outcome."""
    return [type(outcome).__name__ for outcome in outcomes]


async def test_memory_log_is_a_publisher() -> None:
    """The imitation passes the check that the real publisher passes."""
    log = MemoryLog(FAMILY)

    async def read_back(partition: int, offset: int) -> tuple[bytes, bytes]:
        (found,) = (
            each for each in log.records if (each.partition, each.offset) == (partition, offset)
        )
        return found.key, found.value

    await check_publisher(log.publish, read_back)


async def test_nothing_is_done_before_the_index_has_caught_up() -> None:
    """NOT_READY for the whole call; nothing is published."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    engine.is_ready = False
    with pytest.raises(NotReadyError):
        await submit(engine, [inspection(1)])
    assert log.records == []


async def test_each_event_of_a_batch_has_an_outcome_of_its_own_in_order() -> None:
    """A bad event refuses itself only."""
    log = MemoryLog(FAMILY)
    bad = inspection(2, uscc="nonsense")
    outcomes = await submit(engine_on(log), [inspection(1), bad, inspection(3)])
    assert kinds(outcomes) == ["Receipt", "EntityKeyInvalidError", "Receipt"]
    assert isinstance(outcomes[1], EntityKeyInvalidError)
    assert len(log.records) == 2


async def test_same_request_again_has_the_same_receipt_and_no_second_record() -> None:
    """A re-send is answered from the index."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    first = await submit(engine, [inspection(1)])
    again = await submit(engine, [inspection(1), inspection(1)])
    assert [first[0], first[0]] == again
    assert len(log.records) == 1


async def test_concurrent_submissions_of_one_version_share_one_publish() -> None:
    """Who comes while a version is under way waits for its outcome, not for a record of his own."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    log.gate.clear()
    calls = [asyncio.create_task(submit(engine, [inspection(1)])) for _ in range(20)]
    calls.append(asyncio.create_task(submit(engine, [inspection(1, kind=2)])))
    await asyncio.sleep(0.01)
    log.gate.set()
    *same, other = await asyncio.gather(*calls)
    assert len(log.records) == 1
    assert all(outcomes == same[0] for outcomes in same)
    assert isinstance(same[0][0], Receipt)
    assert isinstance(other[0], SourceVersionConflictError)


async def test_other_content_is_told_both_hashes_and_the_receipt_that_stands() -> None:
    """Also when the other record went on the log past this instance."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    (receipt,) = await submit(engine, [inspection(1)])
    (conflict,) = await submit(engine, [inspection(1, kind=2)])
    assert isinstance(receipt, Receipt)
    assert isinstance(conflict, SourceVersionConflictError)
    assert conflict.metadata["stored_payload_hash"] == receipt.payload_hash
    assert conflict.metadata["submitted_payload_hash"] != receipt.payload_hash
    assert conflict.metadata["offset"] == str(receipt.offset)


async def test_unknown_outcome_is_never_called_known_and_a_retry_settles_it() -> None:
    """UNAVAILABLE first; the same request again gives the receipt."""
    log = MemoryLog(FAMILY)
    log.answers = [OutcomeUnknown("broker gone"), NotSent("no metadata")]
    engine = engine_on(log)
    outcomes = await submit(engine, [inspection(1), inspection(2)])
    assert kinds(outcomes) == ["OutcomeUnknownError", "NotReadyError"]
    assert kinds(await submit(engine, [inspection(1), inspection(2)])) == ["Receipt", "Receipt"]
    assert len(log.records) == 2


async def test_record_that_arrived_after_all_gives_the_receipt() -> None:
    """A version that the index knows is on the log, whatever the producer says of this try."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    log.gate.clear()
    log.answers = [OutcomeUnknown("timeout")]
    waiting = asyncio.create_task(submit(engine, [inspection(1)]))
    await asyncio.sleep(0.01)
    prepared = Pipeline(FAMILY, KEY_SCHEMES, CODE_TABLES, lambda _, key: key).prepare(
        inspection(1), now_ns=1_795_000_000_000_000_000, client="elsewhere"
    )
    assert not isinstance(prepared, list)
    log.append(prepared.record)
    log.gate.set()
    assert kinds(await waiting) == ["Receipt"]


async def test_answer_does_not_wait_longer_than_its_limit_and_the_publish_goes_on() -> None:
    """OUTCOME_UNKNOWN at the limit; a retry joins what is still under way."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log, EngineSettings(answer_seconds_max=0.05))
    log.gate.clear()
    (outcome,) = await submit(engine, [inspection(1)])
    assert isinstance(outcome, OutcomeUnknownError)
    retry = asyncio.create_task(submit(engine, [inspection(1)]))
    await asyncio.sleep(0.01)
    log.gate.set()
    assert kinds(await retry) == ["Receipt"]
    assert len(log.records) == 1


async def test_caller_that_goes_away_takes_nothing_back() -> None:
    """A cancelled call leaves its publish to end by itself."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log)
    log.gate.clear()
    call = asyncio.create_task(submit(engine, [inspection(1)]))
    await asyncio.sleep(0.01)
    call.cancel()
    log.gate.set()
    await engine.drain(1.0)
    assert len(log.records) == 1


@pytest.mark.parametrize(
    "settings", [EngineSettings(events_under_way_max=2), EngineSettings(bytes_under_way_max=3_000)]
)
async def test_full_buffer_refuses_the_rest_and_is_free_again_afterwards(
    settings: EngineSettings,
) -> None:
    """Two fit by count or by bytes; the others are told before anything of them is sent."""
    log = MemoryLog(FAMILY)
    engine = engine_on(log, settings)
    events = [inspection(number) for number in range(4)]
    first = await submit(engine, events)
    assert kinds(first) == ["Receipt", "Receipt", "BufferFullError", "BufferFullError"]
    assert isinstance(first[2], BufferFullError)
    assert len(log.records) == 2
    assert kinds(await submit(engine, events)) == ["Receipt"] * 4


class _LeakyLog(MemoryLog):
    """A log whose index finds nothing."""

    def find(self, keys: Sequence[SourceKey]) -> list[Entry | None]:
        """See engine.Index.find."""
        return [None for _ in keys]


async def test_index_without_an_acknowledged_record_ends_the_intake() -> None:
    """Its receipts could not be trusted; the event's own outcome is unknown."""
    engine = engine_on(_LeakyLog(FAMILY))
    watching = asyncio.create_task(engine.watch())
    assert kinds(await submit(engine, [inspection(1)])) == ["OutcomeUnknownError"]
    with pytest.raises(IndexHoleError):
        await asyncio.wait_for(watching, 1)
