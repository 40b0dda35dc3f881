"""Facts for a very small log, and putting them on it as an intake does."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaProducer
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_WITHDRAWN

from integration_tests.judge.history import HistoryWriter, Place
from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.examples import load_example
from services.contracts.families import BODY_ONEOF, FAMILY_BY_NAME, FamilyEvent, family_of
from services.contracts.key_schemes import load_key_schemes
from services.intake.pipeline import Pipeline, Prepared
from services.runtime.clock import now_ms

SOURCE = "planted"
_DAY_SECONDS = 86_400


def fact(
    family: str, arm: str, record: str, *, entity: int = 1, matter: str = "", version: int = 1
) -> FamilyEvent:
    """Return the example of an event type as another record of another entity."""
    event = load_example(family, arm)
    envelope = event.envelope
    envelope.source_system = SOURCE
    envelope.source_record_id = record
    envelope.source_version = version
    envelope.matter_id = f"{SOURCE}/{matter or record}"
    envelope.entity_key.scheme, envelope.entity_key.value = "regno", f"{entity:015d}"
    return event


def later(event: FamilyEvent, days: int) -> FamilyEvent:
    """Return the event, some days later."""
    event.envelope.event_time.seconds += days * _DAY_SECONDS
    return event


def withdrawn(event: FamilyEvent) -> FamilyEvent:
    """Return the event as one that is taken back."""
    event.envelope.disposition = DISPOSITION_WITHDRAWN
    event.ClearField(BODY_ONEOF)
    return event


def canteen_failure(number: int, *, entity: int = 1) -> FamilyEvent:
    """Return an inspection that raises one alert of its own."""
    event = fact("inspections", "inspection_completed", f"canteen-{number}", entity=entity)
    return later(event, number)


def some_facts() -> list[FamilyEvent]:
    """Return facts of two entities: first reports, corrections, a withdrawal, a conflict."""
    received = fact("complaints", "complaint_received", "c1")
    corrected = later(fact("complaints", "complaint_received", "c1", version=2), 1)
    rival = later(fact("complaints", "complaint_received", "c1", version=2), 2)
    accepted = later(fact("complaints", "complaint_accepted", "c1-accepted", matter="c1"), 3)
    penalty = fact("penalties", "penalty_decided", "p1", entity=2)
    return [
        received,
        accepted,
        corrected,
        rival,
        fact("complaints", "complaint_received", "stumble"),
        canteen_failure(1),
        penalty,
        withdrawn(fact("penalties", "penalty_decided", "p1", entity=2, version=2)),
        fact("complaints", "complaint_received", "c2", entity=2),
    ]


class Log:
    """Appends to the event topics, and to the history of what was sent."""

    def __init__(self, bootstrap: str, history: Path) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
        self._history = HistoryWriter(history, "log")
        schemes, codes = load_key_schemes(), load_code_tables()
        self._pipelines: Mapping[str, Pipeline] = {
            name: Pipeline(family, schemes, codes, lambda _event, sent_key: sent_key)
            for name, family in FAMILY_BY_NAME.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._producer.close()
        self._history.close()

    def append(self, event: FamilyEvent) -> None:
        """Append an event as its intake would."""
        family = family_of(event)
        pipeline = self._pipelines[family.name]
        prepared = pipeline.prepare(event, now_ns=now_ms() * 1_000_000, client="planted")
        assert isinstance(prepared, Prepared), prepared
        self._put(family.topic, *prepared.record)

    def append_poison(self) -> None:
        """Append bytes that are no event."""
        self._put("complaints.v1", b"regno:000000000000001", b"\xff poison", ())

    def _put(
        self, topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...]
    ) -> None:
        sent = self._producer.send(topics.name(topic), value, key, list(headers))
        placed = sent.get(timeout=30)
        self._history.injected(Place(placed.topic, placed.partition, placed.offset), now_ms())
