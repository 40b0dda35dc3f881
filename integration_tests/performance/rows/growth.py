"""What a million entities cost, each event, each record restored, each entity, against 10,000.

One run of each size gives all rows, so they are measured once.

Memory is resident memory of the worker and the projection and what Redis holds, less what they took
before the first event. The last row is not a ratio of two runs: what all processes hold at a
million entities, the broker among them, against the 4 GiB that they may hold.
"""

from collections.abc import Callable
from dataclasses import fields

from integration_tests.performance.growth_run import Size, size_of
from integration_tests.performance.row import Figure, Measure, Row
from integration_tests.performance.session import Session

FEW, MANY = 10_000, 1_000_000
MEMORY_GIB_MAX = 4.0


def _of(entities: int, value: Callable[[Size], float]) -> Measure:
    def measure(session: Session) -> Figure:
        size = size_of(session, entities)
        return Figure(value(size), {f.name: float(getattr(size, f.name)) for f in fields(size)})

    return measure


def _row(name: str, what: str, unit: str, value: Callable[[Size], float]) -> Row:
    return Row(
        name=name,
        ours=f"{what}, {MANY:,} entities, full pipeline",
        baseline=f"the same, {FEW:,} entities",
        unit=unit,
        measure=_of(MANY, value),
        measure_baseline=_of(FEW, value),
        must=1.6,
        goal=1.3,
        lower_is_better=True,
        pairs=1,
        by_default=False,
    )


ROWS = (
    _row("growth_cpu_per_event", "CPU of the worker an event", "us", lambda s: s.cpu_us_per_event),
    _row(
        "growth_recovery_per_record",
        "time a record restored from nothing",
        "us",
        lambda s: s.recovery_us_per_record,
    ),
    _row("growth_memory_per_entity", "memory an entity", "bytes", lambda s: s.bytes_per_entity),
    Row(
        name="million_entities_memory",
        ours=f"resident memory of all processes at {MANY:,} entities",
        baseline=f"{MEMORY_GIB_MAX:g} GiB",
        unit="GiB",
        measure=_of(MANY, lambda size: size.all_processes_gib),
        measure_baseline=lambda _: Figure(MEMORY_GIB_MAX),
        must=1.0,
        goal=1.0,
        lower_is_better=True,
        pairs=1,
        by_default=False,
    ),
)
