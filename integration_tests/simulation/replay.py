"""The same logs folded in one go: what every disturbed run has to come to.

The order is computed here by sorting, not by the engine's merge: by running maximum of append time
in the topic, rank of the topic, offset.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast
from unittest.mock import patch

from market_supervision.control.v1.control_pb2 import ControlRecord
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.simulation.broker import ENGINE_TOPICS
from integration_tests.simulation.store import LocalStore
from integration_tests.simulation.worker import make_step
from services.lifecycle.alerting import ThreadChange
from services.lifecycle.rules.evaluation import _Judgement
from services.streaming.interface import SideRecord, SourceRecord
from services.streaming.store import PartitionStore, Position
from services.streaming.unit_store import UnitStore

AppendTime = Callable[[SourceRecord], int]
Logs = Mapping[str, Sequence[SourceRecord]]

UNIT_RECORDS = 64


@dataclass(slots=True)
class Replayed:
    """What a fold in one go came to."""

    store: LocalStore = field(default_factory=LocalStore)
    side: list[SideRecord] = field(default_factory=list)

    state: dict[bytes, bytes] = field(default_factory=dict)
    over_when_found: set[tuple[str, str, str]] = field(default_factory=set)
    """Rule, entity and episode of what held, but was resolved already when it was first seen: no
    thread tells of it."""

    def on(self, topic: str) -> list[SideRecord]:
        """What was written to a topic, in order."""
        return [record for record in self.side if record.topic == topic]


def in_merge_order(logs: Logs, time_of: AppendTime) -> list[SourceRecord]:
    """Return the records of a partition in the order in which they are judged.

    Up to the first bundle of rules only control records are taken: before it nothing is processed.
    """
    control = logs[ENGINE_TOPICS.control]
    first = next(number for number, record in enumerate(control) if _is_bundle(record))
    rest = {**logs, ENGINE_TOPICS.control: control[first + 1 :]}
    keyed = list(_keyed(rest, time_of, max(time_of(record) for record in control[: first + 1])))
    return [*control[: first + 1], *(record for _, record in sorted(keyed, key=_sort_key))]


def replay(records: Iterable[SourceRecord]) -> Replayed:
    """Fold records in the order given, by a step of their own, in large units.

    As the engine does: one record a unit until the step has rules to judge by.
    """
    result = Replayed()
    with _noting_what_is_over(result.over_when_found):
        _fold(list(records), result)
    return result


def _fold(waiting: list[SourceRecord], result: Replayed) -> None:
    step, stream_time_ms = make_step(), 0
    while waiting:
        view = UnitStore(cast("PartitionStore", result.store), step.local_index)
        unit = waiting[: 1 if step.holds(view) else UNIT_RECORDS]
        output = step.run(unit, view, stream_time_ms)
        taken = len(unit) if output.taken is None else output.taken
        times = [record.append_time_ms for record in waiting[:taken]]
        stream_time_ms = max([stream_time_ms, *times])
        waiting = waiting[taken:]
        if output.local is None:
            batch = result.store.prepare(output.changelog.items(), step.local_index)
        else:
            batch = result.store.prepare_known(output.changelog.items(), output.local, None)
        result.store.apply(batch, Position())
        result.state.update(output.changelog)
        result.side.extend(output.side)


@contextmanager
def _noting_what_is_over(noted: set[tuple[str, str, str]]) -> Iterator[None]:
    def noting(
        self: _Judgement,
        key: str,
        thread: state_pb2.AlertThread | None,
        found: list[int],
        *,
        resolved: bool,
    ) -> ThreadChange | None:
        if found and resolved:
            noted.add((self.rule.row.id, self.view.entity.entity_key, key))
        return judged(self, key, thread, found, resolved=resolved)

    judged = _Judgement._judged
    with patch.object(_Judgement, "_judged", noting):
        yield


def _keyed(
    logs: Logs, time_of: AppendTime, control_ms: int
) -> Iterator[tuple[tuple[int, int, int], SourceRecord]]:
    for rank, topic in enumerate(ENGINE_TOPICS.sources):
        running_ms = control_ms if topic == ENGINE_TOPICS.control else 0
        for record in logs[topic]:
            running_ms = max(running_ms, time_of(record))
            yield (running_ms, rank, record.offset), record


def _sort_key(entry: tuple[tuple[int, int, int], SourceRecord]) -> tuple[int, int, int]:
    return entry[0]


def _is_bundle(record: SourceRecord) -> bool:
    return ControlRecord.FromString(record.value or b"").HasField("rule_bundle")
