"""What an event costs an entity with 100,000 matters, against one with ten.

Processor time of the thread that does a unit of one event: the step, the keys derived from its
output, the write to RocksDB. The short history is made anew for every 25 events, so that it stays
short; the long one is made once.
"""

import statistics
import time
import uuid
from collections.abc import Iterator

from integration_tests.performance.one_entity import (
    LAST_DAY,
    Cost,
    OnePartition,
    entity_with,
    event_of,
)
from integration_tests.performance.row import Figure, Row
from integration_tests.performance.session import Session

FEW = 10
MANY = 100_000
EVENTS = 25
ROUNDS = 8


def _numbers(session: Session) -> Iterator[int]:
    """Numbers of events that no earlier round has used."""
    return session.once("event numbers", lambda: iter(range(10**9)))


def _cpu_us(session: Session, partition: OnePartition) -> float:
    """Return the processor time of one event, in microseconds."""
    units = [
        partition.records([event_of(number, LAST_DAY, "x")])
        for _, number in zip(range(EVENTS), _numbers(session), strict=False)
    ]
    began = time.thread_time()
    for unit in units:
        partition.run(unit, Cost())
    return (time.thread_time() - began) / EVENTS * 1e6


def _few(session: Session) -> Figure:
    costs = []
    for _ in range(ROUNDS):
        partition = entity_with(session.directory / f"few-{uuid.uuid4().hex[:8]}", FEW)
        costs.append(_cpu_us(session, partition))
        partition.store.close()
    traced = entity_with(session.directory / f"few-{uuid.uuid4().hex[:8]}", FEW)
    figure = _figure(session, traced, costs, FEW)
    traced.store.close()
    return figure


def _many(session: Session) -> Figure:
    matters = session.scaled(MANY)
    partition = session.once(
        "long history", lambda: entity_with(session.directory / "many", matters)
    )
    costs = [_cpu_us(session, partition) for _ in range(ROUNDS)]
    return _figure(session, partition, costs, matters)


def _figure(session: Session, partition: OnePartition, costs: list[float], matters: int) -> Figure:
    """Return the mean of the rounds; beside it what is counted and does not depend on the clock."""
    cost = Cost()
    for _, number in zip(range(EVENTS), _numbers(session), strict=False):
        partition.trace(partition.records([event_of(number, LAST_DAY, "x")]), cost)
    counted = {name: value / EVENTS for name, value in cost.measures().items()}
    return Figure(statistics.mean(costs), {"matters": float(matters), **counted})


ROWS = (
    Row(
        name="event_of_an_entity_with_100000_matters",
        ours="step and local store, an event of an entity with 100,000 matters",
        baseline="the same of an entity with 10",
        unit="us of CPU",
        measure=_many,
        measure_baseline=_few,
        must=1.3,
        goal=1.1,
        minutes=1,
        lower_is_better=True,
    ),
)
