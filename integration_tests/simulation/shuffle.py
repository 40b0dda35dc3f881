"""The same records, arrived at other times: topics delayed against each other."""

import random

from market_supervision.control.v1.control_pb2 import ControlRecord, Tick

from integration_tests.simulation.broker import ENGINE_TOPICS
from integration_tests.simulation.replay import in_merge_order
from integration_tests.simulation.world import FINAL_DAY, FINAL_MS, World
from services.lifecycle.tests.fold_rig import DAY_MS
from services.lifecycle.tests.step_rig import moment_of
from services.streaming.interface import SourceRecord

DELAY_DAYS_MAX = 8


def other_interleaving(world: World, number: int) -> list[SourceRecord]:
    """Return a partition's records as they might have come: delayed, or all of them at the end.

    Within a topic the order stays: of two contents under one version the first one holds.
    """
    sources = world.broker.sources(number)
    logs = {topic: list(log.records) for topic, log in sources.items()}
    bundles = [r for r in logs[ENGINE_TOPICS.control] if _is_bundle(r)]
    if world.dice.random() < 0.3:
        ticks = _ticks(bundles[-1], first_half_day=2 * FINAL_DAY)
        logs = {topic: _at(records, FINAL_MS) for topic, records in logs.items()}
    else:
        ticks = _ticks(bundles[-1], first_half_day=0)
        logs = {topic: _delayed(records, world.dice) for topic, records in logs.items()}
    logs[ENGINE_TOPICS.control] = bundles + ticks
    return in_merge_order(logs, lambda record: record.append_time_ms)


def _delayed(records: list[SourceRecord], dice: random.Random) -> list[SourceRecord]:
    delay_ms = dice.randrange(DELAY_DAYS_MAX * DAY_MS)
    return [record._replace(append_time_ms=record.append_time_ms + delay_ms) for record in records]


def _at(records: list[SourceRecord], moment_ms: int) -> list[SourceRecord]:
    return [record._replace(append_time_ms=moment_ms) for record in records]


def _ticks(bundle: SourceRecord, *, first_half_day: int) -> list[SourceRecord]:
    """Ticks behind a bundle, every half day up to the last moment of a world."""
    value = ControlRecord(tick=Tick()).SerializeToString()
    ticks = []
    for half_days in range(first_half_day, 2 * FINAL_DAY + 1):
        moment_ms = max(bundle.append_time_ms, min(moment_of(half_days / 2), FINAL_MS))
        offset = bundle.offset + 1 + half_days
        ticks.append(bundle._replace(offset=offset, append_time_ms=moment_ms, value=value))
    return ticks


def _is_bundle(record: SourceRecord) -> bool:
    return ControlRecord.FromString(record.value or b"").HasField("rule_bundle")
