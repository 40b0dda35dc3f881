"""The events of so many entities on topics of their own: two each, as an intake would write them.

Their establishment and an inspection that they passed. A log is written once and kept; what the
worker makes of it is removed before every measurement, so that each begins with nothing.
"""

import asyncio
import copy
import uuid
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer
from market_supervision.inspections.v1.inspections_events_pb2 import (
    INSPECTION_RESULT_PASS,
    PLACE_TYPE_CATERING,
)

from integration_tests.intake.support import inspection, uscc
from integration_tests.performance.peer_log import delete_topics
from integration_tests.performance.session import Session
from integration_tests.performance.shown import Shown
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.system.support import ALL_DAYS, publish_rules
from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES, FamilyEvent, family_of
from services.contracts.key_schemes import load_key_schemes
from services.contracts.topics import TOPICS
from services.intake.pipeline import Pipeline, Prepared
from services.runtime.clock import now_ms
from services.runtime.kafka_topics import ensure_topics

EVENTS_PER_ENTITY = 2
SENT_AT_ONCE = 2_000
READ_BY_THE_WORKER = {"control.v1", "relocated.v1"}


def log_name(entities: int) -> str:
    """Name what is kept of a log."""
    return f"growth log of {entities} entities"


def prefix_of(session: Session, entities: int) -> str:
    """Return the prefix of the topics that hold the events of so many entities, written once."""

    def make() -> dict[str, str]:
        prefix = f"growth-{uuid.uuid4().hex[:8]}."
        with prefixed(prefix):
            ensure_topics(session.bootstrap)
            publish_rules(session.bootstrap, max_age_days=ALL_DAYS)
            asyncio.run(_write(session.bootstrap, entities))
        return {"prefix": prefix}

    return str(session.kept.once(log_name(entities), make)["prefix"])


def forget_outputs(bootstrap: str) -> None:
    """Make every topic that the worker writes, and does not read as a source, anew and empty."""
    written = [
        topics.name(topic.short_name)
        for topic in TOPICS
        if "lifecycle" in topic.producers and topic.short_name not in READ_BY_THE_WORKER
    ]
    delete_topics(bootstrap, written)
    ensure_topics(bootstrap)


def forget_log(session: Session, entities: int) -> None:
    """Remove a log, so that it no longer takes room."""
    with prefixed(prefix_of(session, entities)):
        delete_topics(session.bootstrap, [topics.name(topic.short_name) for topic in TOPICS])
    session.kept.forget(log_name(entities))


def _events(entities: int) -> Iterator[FamilyEvent]:
    example = load_example("registration", "entity_established")
    example.envelope.entity_key.scheme = "uscc"
    for number in range(entities):
        established = copy.deepcopy(example)
        established.envelope.entity_key.value = uscc(number)
        established.envelope.source_record_id = f"DJ-{number}"
        yield established
        passed = inspection(number, entity=number)
        passed.inspection_completed.result = INSPECTION_RESULT_PASS
        passed.inspection_completed.place_type = PLACE_TYPE_CATERING
        yield passed


async def _write(bootstrap: str, entities: int) -> None:
    schemes, codes = load_key_schemes(), load_code_tables()
    pipelines = {
        family.name: Pipeline(family, schemes, codes, lambda _event, sent_key: sent_key)
        for family in FAMILIES
    }
    shown = Shown(f"growth: events of {entities:,} entities written", entities * EVENTS_PER_ENTITY)
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        linger_ms=5,
        max_batch_size=1 << 18,
        compression_type="lz4",
    ) as producer:
        sent = []
        for number, event in enumerate(_events(entities), 1):
            family = family_of(event)
            prepared = pipelines[family.name].prepare(
                event, now_ns=now_ms() * 1_000_000, client="bench"
            )
            assert isinstance(prepared, Prepared), prepared
            key, value, headers = prepared.record
            sent.append(
                await producer.send(
                    topics.name(family.topic), value, key=key, headers=list(headers)
                )
            )
            if len(sent) >= SENT_AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
                shown.at(number)
        await asyncio.gather(*sent)
