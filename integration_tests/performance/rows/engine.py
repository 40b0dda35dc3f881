"""The engine with the peers' fold against other engines with the same fold."""

from dataclasses import replace

from integration_tests.performance.peer_fold import Load
from integration_tests.performance.peer_run import drain
from integration_tests.performance.peers.catalogue import (
    ENGINE,
    ENGINE_TWICE,
    KAFKA_STREAMS,
    QUIX_AT_LEAST_ONCE,
    QUIX_STREAMS,
    STOCK_FAUST,
    Peer,
)
from integration_tests.performance.row import Figure, Measure, Row
from integration_tests.performance.session import Session

CLEAN = Load()
"""As long as Kafka Streams needs to come to its full speed."""
SHORTER = Load(events=600_000)
"""For engines that do not grow faster with time: some three seconds of ours, eight of others."""
DISTURBED = replace(SHORTER, duplicates=0.20, late=0.05)
SMALL = Load(events=80_000)
"""For the agent that does nothing, which takes nine seconds for it; ours would take half a one."""

HISTORY = Load(events=10_000_000, keys=530_000)
"""As many as a city of 530,000 entities has in its records of twenty years."""
HISTORY_SECONDS_MAX = 600.0

OURS = "engine with the peers' fold: RocksDB, changelog, a transaction a unit, projection off"


def drained(peer: Peer, load: Load) -> Measure:
    """Measure events a second of an engine over a load."""

    def measure(session: Session) -> Figure:
        log = session.peer_log(load)
        run = drain(peer, log, session.directory)
        return Figure(
            run.events_per_s,
            {
                "distinct_events_per_s": run.events_per_s * log.distinct / log.records,
                "cpu_us_per_event": run.cpu_us_per_event,
                "seconds": run.seconds,
                "memory_mib": run.memory_mib,
            },
        )

    return measure


def _prepare_history(session: Session) -> None:
    """Write the log and let the judge say what it comes to: both are kept until it is measured."""
    session.peer_log(HISTORY)


def _history(session: Session) -> Figure:
    """Seconds from the start of the worker to the commit of the last event."""
    log = session.peer_log(HISTORY)
    run = drain(ENGINE, log, session.directory)
    return Figure(
        run.from_start_s,
        {
            "events": float(log.records),
            "digest": log.digest,
            "events_per_s": run.events_per_s,
            "cpu_us_per_event": run.cpu_us_per_event,
            "memory_mib": run.memory_mib,
        },
    )


def _against(name: str, peer: Peer, load: Load, ours: Peer = ENGINE, **asked: float | bool) -> Row:
    return Row(
        name=name,
        ours=OURS if ours.workers == 1 else f"{OURS}; {ours.workers} workers",
        baseline=f"{peer.name}, same fold and input, equal digest",
        unit="events/s",
        measure=drained(ours, load),
        measure_baseline=drained(peer, load),
        **asked,  # type: ignore[arg-type]
    )


ROWS = (
    _against("engine_vs_quix_streams", QUIX_STREAMS, SHORTER, must=1.5, goal=2.5, minutes=2),
    # As many workers as it has threads: of one worker one thread at a time runs Python.
    _against(
        "engine_vs_kafka_streams",
        KAFKA_STREAMS,
        CLEAN,
        ENGINE_TWICE,
        must=0.8,
        goal=1.5,
        minutes=3.5,
    ),
    _against(
        "engine_of_one_worker_vs_kafka_streams",
        KAFKA_STREAMS,
        CLEAN,
        by_default=False,
        minutes=4.5,
    ),
    Row(
        name="engine_duplicates_and_late",
        ours=f"{OURS}; 20 % duplicates, 5 % with an earlier event time, which is nothing to the "
        "engine",
        baseline="the same over a clean log of as many records",
        unit="records/s",
        note="by records, not by distinct events; late in the payload only",
        measure=drained(ENGINE, DISTURBED),
        measure_baseline=drained(ENGINE, SHORTER),
        minutes=2,
        must=0.9,
        goal=0.97,
        beside=("distinct_events_per_s",),
    ),
    _against(
        "engine_vs_quix_streams_at_least_once",
        QUIX_AT_LEAST_ONCE,
        SHORTER,
        by_default=False,
        minutes=2.5,
    ),
    Row(
        name="engine_vs_stock_faust",
        ours=OURS,
        baseline=f"{STOCK_FAUST.name}, a shorter log of the same kind",
        unit="events/s",
        measure=drained(ENGINE, CLEAN),
        measure_baseline=drained(STOCK_FAUST, SMALL),
        minutes=2.5,
        by_default=False,
    ),
    Row(
        name="history_of_ten_million_events",
        ours=f"{OURS}; 10,000,000 events of 530,000 entities; not the full pipeline",
        baseline=f"{HISTORY_SECONDS_MAX:.0f} s: a limit, not a measurement",
        note="the peers' fold, not the pipeline; against a limit",
        unit="s",
        measure=_history,
        measure_baseline=lambda session: Figure(session.scaled(int(HISTORY_SECONDS_MAX))),
        must=1.0,
        goal=1.0,
        lower_is_better=True,
        pairs=1,
        by_default=False,
        prepare=_prepare_history,
        minutes=6,
        disk_gib=12,
    ),
)
