"""What a million entities cost, each event, each record restored, each entity, against 10,000.

One run of each size gives all rows, so they are measured once.

At 10,000 entities the worker's caches and heap outweigh what the entities need, which would make
any growth look small. So memory is what each entity between 100,000 and 1,000,000 adds to worker,
projection and Redis, against what an entity takes in Redis alone at 10,000. The last row is not a
ratio of two runs: what all processes hold at a million entities, the broker among them, against the
4 GiB that they may hold.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields

from integration_tests.performance.growth_log import prefix_of
from integration_tests.performance.growth_run import Size, size_name, size_of
from integration_tests.performance.row import Figure, Measure, Row
from integration_tests.performance.session import Session

FEW, BETWEEN, MANY = 10_000, 100_000, 1_000_000
MEMORY_GIB_MAX = 4.0
OLD_MEASURE = "bytes_per_entity_above_idle"
AGAINST_BETWEEN = "us_against_100000_entities"
MINUTES, DISK_GIB = 30, 30


def _details(size: Size) -> Mapping[str, float | str]:
    named = {f.name: float(getattr(size, f.name)) for f in fields(size)}
    return named | {OLD_MEASURE: size.bytes_held / size.entities}


def _of(entities: int, value: Callable[[Size], float]) -> Measure:
    def measure(session: Session) -> Figure:
        size = size_of(session, entities)
        return Figure(value(size), _details(size))

    return measure


def _added_per_entity(session: Session) -> Figure:
    between, many = size_of(session, BETWEEN), size_of(session, MANY)
    added = (many.bytes_held - between.bytes_held) / (many.entities - between.entities)
    return Figure(added, _details(many))


def _prepare(session: Session) -> None:
    for entities in (FEW, BETWEEN, MANY):
        scaled = session.scaled(entities)
        if not session.kept.has(size_name(scaled)):
            prefix_of(session, scaled)


def _row(name: str, ours: str, baseline: str, unit: str, measures: tuple[Measure, Measure]) -> Row:
    return Row(
        name=name,
        ours=ours,
        baseline=baseline,
        unit=unit,
        measure=measures[0],
        measure_baseline=measures[1],
        must=1.6,
        goal=1.3,
        lower_is_better=True,
        pairs=1,
        by_default=False,
        prepare=_prepare,
        minutes=MINUTES,
        disk_gib=DISK_GIB,
        beside=(OLD_MEASURE,) if unit == "bytes" else (AGAINST_BETWEEN,),
    )


def _grown(name: str, what: str, unit: str, value: Callable[[Size], float]) -> Row:
    return _row(
        name,
        f"{what}, {MANY:,} entities, full pipeline",
        f"the same, {FEW:,} entities",
        unit,
        (_of(MANY, value), _few_and_between(value)),
    )


def _few_and_between(value: Callable[[Size], float]) -> Measure:
    """The baseline; beside it that of a size at which nothing is still warming up."""

    def measure(session: Session) -> Figure:
        few, between = size_of(session, FEW), size_of(session, BETWEEN)
        return Figure(value(few), {**_details(few), AGAINST_BETWEEN: value(between)})

    return measure


ROWS = (
    _grown(
        "growth_cpu_per_event", "CPU of the worker an event", "us", lambda s: s.cpu_us_per_event
    ),
    _grown(
        "growth_recovery_per_record",
        "time a record restored from nothing",
        "us",
        lambda s: s.recovery_us_per_record,
    ),
    _row(
        "growth_memory_per_entity",
        f"worker, projection and Redis, an entity more between {BETWEEN:,} and {MANY:,}",
        f"an entity in Redis alone at {FEW:,}",
        "bytes",
        (_added_per_entity, _of(FEW, lambda size: size.bytes_in_redis / size.entities)),
    ),
    Row(
        name="million_entities_memory",
        ours=f"resident memory of all processes at {MANY:,} entities",
        baseline=f"{MEMORY_GIB_MAX:g} GiB: a limit, not a measurement",
        note="against a limit",
        unit="GiB",
        measure=_of(MANY, lambda size: size.all_processes_gib),
        measure_baseline=lambda _: Figure(MEMORY_GIB_MAX),
        must=1.0,
        goal=1.0,
        lower_is_better=True,
        pairs=1,
        by_default=False,
        prepare=_prepare,
        minutes=MINUTES,
        disk_gib=DISK_GIB,
    ),
)
