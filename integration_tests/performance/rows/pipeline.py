"""The full pipeline over the synthetic city, against a Faust agent that does nothing."""

import random
from collections.abc import Sequence
from dataclasses import replace

from integration_tests.performance.city_run import city_on_log, drain_city
from integration_tests.performance.peer_log import PeerLog
from integration_tests.performance.peer_run import drain
from integration_tests.performance.peers.catalogue import STOCK_FAUST
from integration_tests.performance.processes import WrongResultError
from integration_tests.performance.row import Figure, Measure, Row
from integration_tests.performance.session import Session
from integration_tests.system.city_log import CONTROL, CityLog, Written, city_log
from services.contracts import topics
from services.contracts.families import FAMILIES

ENTITIES = 800
"""About 24 events each: ten seconds at 1,900 events/s."""
STOCK_REPEATS = 3
DUPLICATES = 0.20
LATE = 0.05
LATE_RECORDS_MAX = 500
"""How many records later a late or repeated one stands at most."""
SEED = 4

OURS = (
    "full pipeline: decode, guard, fold, features, all rules, transaction, RocksDB; projection and "
    "Redis running"
)


def _city(session: Session) -> CityLog:
    entities = session.scaled(ENTITIES)
    return session.once(("city", entities), lambda: city_log(entities))


def disturbed(records: Sequence[Written]) -> list[Written]:
    """Return a log in which 20 % of the events are repeats and 5 % come late.

    Both stand up to `LATE_RECORDS_MAX` records later than where they belong. Append times are those
    of the place where a record stands; within a partition no two are equal.
    """
    random_ = random.Random(SEED)
    placed: list[tuple[float, Written]] = []
    for number, record in enumerate(records):
        place = float(number)
        if record.topic != CONTROL and random_.random() < LATE:
            place += random_.random() * LATE_RECORDS_MAX
        placed.append((place, record))
        if record.topic != CONTROL and random_.random() < DUPLICATES / (1 - DUPLICATES):
            placed.append((place + random_.random() * LATE_RECORDS_MAX, record))
    placed.sort(key=lambda each: each[0])
    moved = []
    clock_ms = 0
    for place, record in placed:
        at = records[min(int(place), len(records) - 1)].timestamp_ms
        clock_ms = max(clock_ms + 1, at)
        moved.append(record._replace(timestamp_ms=clock_ms))
    return moved


def _pipeline(*, is_disturbed: bool = False) -> Measure:
    def measure(session: Session) -> Figure:
        log = _city(session)
        records = session.once("disturbed", lambda: disturbed(log.records))
        given = records if is_disturbed else log.records
        run = drain_city(session, log, given, is_expected=not is_disturbed)
        view = session.once(("view", is_disturbed), lambda: run.view)
        if run.view != view:
            raise WrongResultError(f"two runs over one log came to {view} and {run.view}")
        distinct = _events(log.records) / _events(given)
        return Figure(
            run.events_per_s,
            {
                "distinct_events_per_s": run.events_per_s * distinct,
                "cpu_us_per_event": run.cpu_us_per_event,
                "seconds": run.seconds,
                "units": float(run.units),
                "memory_mib": run.memory_mib,
            },
        )

    return measure


def _events(records: Sequence[Written]) -> int:
    return sum(record.topic != CONTROL for record in records)


def _stock(session: Session) -> Figure:
    """The agent that does nothing, on the same event topics with the same records.

    They are there several times: what does nothing with them does not mind, and is soon done.
    """
    log = _city(session)
    records = log.records * STOCK_REPEATS
    events = _events(records)
    with city_on_log(session, log, records):
        names = ",".join(topics.name(family.topic) for family in FAMILIES)
        run = drain(
            STOCK_FAUST, PeerLog(session.bootstrap, names, "", events, ""), session.directory
        )
    return Figure(
        run.events_per_s, {"cpu_us_per_event": run.cpu_us_per_event, "seconds": run.seconds}
    )


_FULL = Row(
    name="pipeline_vs_stock_faust",
    ours=OURS,
    baseline=f"{STOCK_FAUST.name}, same records",
    unit="events/s",
    measure=_pipeline(),
    measure_baseline=_stock,
    must=1.5,
    goal=3.0,
    minutes=2.5,
)

ROWS = (_FULL,)

DISTURBED_ROWS = (
    replace(
        _FULL,
        name="pipeline_duplicates_and_late",
        ours="full pipeline; 20 % duplicates, 5 % late",
        baseline="the same over the clean log",
        unit="records/s",
        measure=_pipeline(is_disturbed=True),
        measure_baseline=_pipeline(),
        must=0.9,
        goal=0.97,
        beside=("distinct_events_per_s",),
    ),
)
