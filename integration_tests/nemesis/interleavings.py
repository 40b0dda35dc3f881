"""One multiset of events in twenty orders: one view, and the same alerts open at the end.

Each of the twelve partitions of a world is given all events, in an order of its own: they know
nothing of one another, so one worker shows twelve orders at once. Half of them keep the order of
each topic and mix the topics; the other half keep nothing.
"""

import os
import random
import time
from collections.abc import Sequence

from kafka import KafkaProducer

from integration_tests.nemesis.plan import Result, Setting
from integration_tests.nemesis.settled import settled
from integration_tests.nemesis.stage import delete_topics
from integration_tests.nemesis.submissions import draw_submissions, entities_of
from integration_tests.system.city_log import Intake
from integration_tests.system.support import ALL_DAYS, Raw, publish_rules, read_topic, wait_applied
from services.contracts import topics
from services.contracts.families import FAMILY_BY_NAME
from services.contracts.topics import TOPIC_PREFIX_VARIABLE, TimestampType
from services.intake.publisher import OutgoingRecord
from services.local.system import LocalSystem
from services.runtime import clock
from services.runtime.kafka_topics import ensure_topics

INTERLEAVINGS = 20
ENTITIES = 24
SEND_SECONDS = 120.0

Event = tuple[str, OutgoingRecord]
"""Full name of the topic, record."""


def interleave(setting: Setting, result: Result) -> None:
    """Fold the events in every order and compare."""
    events = _events(setting.seed)
    outcomes: dict[tuple[int, int], tuple[str, tuple[str, ...]]] = {}
    for world, first in enumerate(range(0, INTERLEAVINGS, topics.PARTITIONS)):
        count = min(topics.PARTITIONS, INTERLEAVINGS - first)
        outcomes |= {
            (world, partition): outcome
            for partition, outcome in _world(setting, world, count, events).items()
        }
    result.events = len(events) * len(outcomes)
    if len(outcomes) != INTERLEAVINGS:
        result.findings.append(f"{len(outcomes)} of {INTERLEAVINGS} orders came to anything")
    first_digest, first_open = outcomes[0, 0]
    result.digest_before = result.digest_after = first_digest
    result.alerts = len(first_open)
    if not first_open:
        result.findings.append("no alert is open: the events show nothing")
    for place, (digest, still_open) in sorted(outcomes.items()):
        if digest != first_digest:
            result.digest_after = digest
            result.findings.append(f"order {place} comes to another view: {digest}")
        if still_open != first_open:
            differing = sorted(set(still_open) ^ set(first_open))[:5]
            result.findings.append(f"order {place} leaves other alerts open: {differing}")


def _events(seed: int) -> list[Event]:
    """The records that intakes make of a part of the city, in the order of the city."""
    intakes = {name: Intake(family) for name, family in FAMILY_BY_NAME.items()}
    now = clock.utc_now()
    items = draw_submissions(seed, 0)
    chosen = random.Random(f"interleavings/{seed}").sample(entities_of(items), ENTITIES)
    return [
        (FAMILY_BY_NAME[item.family].topic, record)
        for item in items
        if item.entity in chosen
        for record in intakes[item.family].take(item.event, now)
    ]


def _ordered(rng: random.Random, events: Sequence[Event], *, by_topic: bool) -> list[Event]:
    if not by_topic:
        return rng.sample(events, len(events))
    queues: dict[str, list[Event]] = {}
    for event in reversed(events):
        queues.setdefault(event[0], []).append(event)
    turns = [event[0] for event in events]
    rng.shuffle(turns)
    return [queues[topic].pop() for topic in turns]


def _world(
    setting: Setting, world: int, count: int, events: Sequence[Event]
) -> dict[int, tuple[str, tuple[str, ...]]]:
    prefix = f"t22-{setting.seed}-{world}-{setting.directory.name[-6:]}."
    os.environ[TOPIC_PREFIX_VARIABLE] = prefix
    system = LocalSystem(setting.directory / str(world), setting.bootstrap, "", prefix)
    try:
        # The writer's times: records of one moment would be taken by the rank of their topics.
        ensure_topics(setting.bootstrap, timestamp_type=TimestampType.CREATE)
        begins_ms = int(time.time() * 1000) - 2 * len(events)
        publish_rules(setting.bootstrap, max_age_days=ALL_DAYS, timestamp_ms=begins_ms - 1)
        with KafkaProducer(bootstrap_servers=setting.bootstrap, acks="all") as producer:
            for partition in range(count):
                rng = random.Random(f"{setting.seed}/{world}/{partition}")
                order = _ordered(rng, events, by_topic=partition % 2 == 0)
                for number, (topic, record) in enumerate(order):
                    producer.send(
                        topics.name(topic),
                        partition=partition,
                        timestamp_ms=begins_ms + number,
                        key=record.key,
                        value=record.value,
                        headers=list(record.headers),
                    )
            producer.flush(timeout=SEND_SECONDS)
        system.start("lifecycle-0")
        wait_applied(setting.bootstrap)
        system.supervisor.check()
        return _outcomes(read_topic(setting.bootstrap, "lifecycle.v1"), count)
    finally:
        system.stop()
        delete_topics(setting.bootstrap)
        os.environ.pop(TOPIC_PREFIX_VARIABLE, None)


def _outcomes(records: Sequence[Raw], count: int) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Per partition: digest of the view without its alert threads, ids of the alerts open."""
    return {
        partition: settled({r.key or b"": r.value for r in records if r.partition == partition})
        for partition in range(count)
    }
