"""Rows of family A: crash and pause."""

import signal

from integration_tests.nemesis.deadly_step import KILLING, RAISING
from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.plan import Plan, Row
from integration_tests.nemesis.schedule import Strikes
from integration_tests.nemesis.stage import READERS, WORKERS
from services.local.system import INTAKES
from services.streaming.exits import ExitCode

MODULE = "integration_tests.nemesis"

DEADLY = (f"{MODULE}.deadly_step",)

CRASH_ROWS = (
    Row(
        "T01",
        "valid events that meet a bug in the fold, which raises",
        full=Plan(
            (),
            wrappers=dict.fromkeys(WORKERS, DEADLY),
            worker_exits=frozenset({ExitCode.STEP_FAILED}),
            load=LoadShape(deadly=(f"{RAISING}-1", f"{RAISING}-2")),
            dead_letters=2,
        ),
    ),
    Row(
        "T02",
        "kill -9 of stream workers at random moments, two workers",
        quick=Plan((Strikes("kill", WORKERS, 3, (1.5, 4.0)),)),
        full=Plan((Strikes("kill", WORKERS, 20, (0.0, 6.0)),), load=LoadShape(events=6_000)),
    ),
    Row(
        "T03",
        "kill -9 of a worker when folded; acked, not committed; committed, not in the local store",
        quick=Plan((), deaths={"lifecycle-0": 3}),
        full=Plan((), deaths={"lifecycle-0": 6, "lifecycle-1": 6}, load=LoadShape(events=4_000)),
    ),
    Row(
        "T04",
        "kill -9 of intakes in the middle of calls",
        full=Plan(
            (Strikes("kill", INTAKES, 20, (0.5, 2.0)), Strikes("delete-index", INTAKES, 2)),
            load=LoadShape(events=4_000),
        ),
        missing="22 kills a round, not 100",
    ),
    Row(
        "T05",
        "kill -9 of the broker under load",
        quick=Plan((Strikes("kill-broker", ("",), 1, (3.0, 5.0), (0.5, 2.0)),), own_broker=True),
        full=Plan(
            (
                Strikes("kill-broker", ("",), 5, (4.0, 8.0), (0.5, 3.0)),
                Strikes("stop-broker", ("",), 1, (4.0, 8.0), (1.0, 2.0)),
            ),
            own_broker=True,
            load=LoadShape(events=6_000),
        ),
    ),
    Row(
        "T05b",
        "three nodes: kill -9 of the leader of a partition, then of the controllers' leader",
        full=Plan(
            (
                Strikes("kill-leader", ("",), 2, (4.0, 6.0), (1.0, 3.0)),
                Strikes("kill-controller", ("",), 1, (2.0, 4.0), (1.0, 3.0)),
            ),
            three_nodes=True,
            load=LoadShape(events=4_000),
        ),
    ),
    Row(
        "T06",
        "kill -9 of Redis, which comes back empty",
        quick=Plan((Strikes("lose-redis", ("",), 1, (4.0, 6.0), (0.5, 2.0)),)),
        full=Plan(
            (
                Strikes("lose-redis", ("",), 3, (4.0, 6.0), (0.5, 3.0)),
                Strikes("kill-redis", ("",), 2, (3.0, 5.0), (2.0, 4.0)),
            ),
            load=LoadShape(events=4_000),
        ),
    ),
    Row(
        "T07",
        "kill -9 of the query side with 50 alert subscribers",
        full=Plan(
            (Strikes("kill", ("profiles",), 5, (2.0, 4.0)),),
            load=LoadShape(events=2_500, subscribers=50),
        ),
    ),
    Row(
        "T08",
        "SIGSTOP of a worker beyond its session, then SIGCONT",
        quick=Plan((Strikes("pause", ("lifecycle-0",), 1, (2.0, 4.0), (9.0, 11.0)),)),
        full=Plan(
            (Strikes("pause", WORKERS, 2, (3.0, 5.0), (20.0, 30.0), in_turn=True),),
            load=LoadShape(events=6_000),
        ),
    ),
    Row(
        "T09",
        "SIGSTOP of Redis for 20 s, of the broker for 20 s",
        full=Plan(
            (
                Strikes("pause-redis", ("",), 1, (2.0, 4.0), (20.0, 20.0)),
                Strikes("pause-broker", ("",), 1, (3.0, 4.0), (20.0, 20.0)),
            ),
            own_broker=True,
            load=LoadShape(events=5_000),
        ),
        missing="the bound on resident memory is not measured",
    ),
    Row(
        "T10",
        "SIGTERM of each service under load: it ends with 0 within its grace",
        full=Plan(
            (
                Strikes(
                    "stop", (*WORKERS, *INTAKES, *READERS), 8, (0.5, 1.5), (0.0, 1.0), in_turn=True
                ),
            ),
            load=LoadShape(events=4_000),
        ),
    ),
    Row(
        "T11",
        "kill -9 of everything at once, cold start in random order",
        quick=Plan((Strikes("cold-start", ("",), 1, (4.0, 6.0), (0.0, 1.0)),), own_broker=True),
        full=Plan(
            (Strikes("cold-start", ("",), 5, (4.0, 8.0), (0.0, 2.0)),),
            own_broker=True,
            load=LoadShape(events=6_000),
        ),
    ),
    Row(
        "T12",
        "swizzle: random processes, servers too, stopped one by one, let go in another order",
        full=Plan(
            (Strikes("swizzle", ("",), 4, (2.0, 4.0), (3.0, 9.0)),),
            own_broker=True,
            load=LoadShape(events=5_000),
        ),
        missing="links are clogged by stopping the process at an end, not one by one",
    ),
    Row(
        "T13",
        "valid events that kill the process which folds them",
        full=Plan(
            (),
            wrappers=dict.fromkeys(WORKERS, DEADLY),
            worker_exits=frozenset({-signal.SIGSEGV}),
            load=LoadShape(deadly=(f"{KILLING}-1", f"{KILLING}-2")),
            dead_letters=2,
        ),
    ),
    Row(
        "T14",
        "two workers, one killed and kept down: the other takes its partitions over",
        full=Plan((Strikes("kill-and-be-replaced", WORKERS, 2, (3.0, 5.0), (1.0, 2.0)),)),
    ),
)
