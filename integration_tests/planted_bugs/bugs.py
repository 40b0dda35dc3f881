"""Each bug with the shortest run that makes it bite, and the checks that must report it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import grpc
from market_supervision.alerts.v1.alert_pb2 import AlertFilter
from market_supervision.alerts.v1.alert_service_pb2 import (
    WATCH_START_EARLIEST,
    WatchAlertsRequest,
)
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub
from market_supervision.complaints.v1 import complaints_intake_service_pb2 as complaints
from market_supervision.complaints.v1.complaints_intake_service_pb2_grpc import (
    ComplaintsIntakeServiceStub,
)

from integration_tests.judge.history import HistoryWriter
from integration_tests.judge.recordings import EARLIEST, RecordingWriter
from integration_tests.judge.verdict import Verdict
from integration_tests.planted_bugs.facts import canteen_failure, fact, some_facts
from integration_tests.planted_bugs.scene import Scene
from services.runtime.clock import now_ms

WORKER, SECOND = "lifecycle-0", "lifecycle-1"
CALL_SECONDS = 30.0
REBALANCES_MAX = 5
WAVES = 3
ENTITIES = 40


def facts_of_all_kinds(scene: Scene) -> Verdict:
    """Fold first reports, corrections, a conflict, a withdrawal and poison."""
    scene.start_worker()
    for event in some_facts():
        scene.log.append(event)
    scene.log.append_poison()
    scene.wait_applied()
    return scene.judge()


def worker_killed_between(scene: Scene) -> Verdict:
    """Fold a few facts; the patched worker kills itself once and comes back."""
    scene.start_worker()
    for number in range(1, 4):
        scene.log.append(canteen_failure(number))
    scene.wait_remembered(WORKER)
    scene.wait_applied()
    return scene.judge()


def worker_writes_everywhere(scene: Scene) -> Verdict:
    """Give every partition something to write, and take the worker's word that it did."""
    scene.start_worker()
    for entity in range(ENTITIES):
        scene.log.append(fact("complaints", "complaint_received", f"c{entity}", entity=entity))
    scene.wait(lambda: scene.says_all_taken(WORKER), "the worker says that it took everything")
    assert not scene.exit_codes, scene.exit_codes
    return scene.judge()


def worker_joins(scene: Scene) -> Verdict:
    """Let a second worker join while the first one waits for records, then append some.

    Whether a poll is under way at that moment is chance, so it joins again until one was. What is
    appended to the same topics while it waits makes the positions go past whatever was dropped.
    """
    scene.start_worker(WORKER)
    for rebalance in range(REBALANCES_MAX):
        scene.start_worker(SECOND)
        for wave in range(WAVES):
            for entity in range(ENTITIES):
                scene.log.append(canteen_failure(rebalance * WAVES + wave, entity=entity))
            if WORKER not in scene.patches or scene.strikes_soon(WORKER):
                scene.wait_applied()
                return scene.judge()
        scene.system.supervisor.stop(SECOND)
    raise AssertionError(f"no poll was under way in {REBALANCES_MAX} rebalances")


def worker_dies_uncommitted(scene: Scene) -> Verdict:
    """Let a worker die with a unit written and not committed, and look at Redis."""
    scene.system.start("projection")
    scene.start_worker()
    scene.wait((scene.directory / "projection.ready.json").exists, "the projection is complete")
    scene.log.append(canteen_failure(1))
    scene.wait_remembered(WORKER)
    scene.system.supervisor.stop(WORKER)
    return scene.judge(redis=True)


def subscriber_comes_back(scene: Scene) -> Verdict:
    """Let a subscriber leave after each message that brought alerts, and go on by its cursor."""
    scene.system.start("projection")
    scene.start_worker()
    address = scene.start_service("profiles")
    alerts = 3
    path = scene.directory / "subscriber.jsonl"
    recording = RecordingWriter(path)
    recording.subscribed("s0", EARLIEST, AlertFilter())
    scene.recordings.append(path)
    cursor = ""
    for number in range(1, alerts + 1):
        scene.log.append(canteen_failure(number))
        cursor = _next_alerts(address, cursor, recording)
    recording.close()
    scene.wait_applied()
    return scene.judge()


def _next_alerts(address: str, cursor: str, recording: RecordingWriter) -> str:
    """Record messages until one brings alerts; return its cursor."""
    request = WatchAlertsRequest(cursor=cursor, start=WATCH_START_EARLIEST)
    with grpc.insecure_channel(address) as channel:
        call = AlertServiceStub(channel).WatchAlerts(request, timeout=2 * CALL_SECONDS)
        for message in call:
            recording.received(message, now_ms())
            if message.records:
                call.cancel()
                return str(message.cursor)
    raise AssertionError("the watch ended by itself")


def intake_killed(scene: Scene) -> Verdict:
    """Kill an intake right after it answered, and start it again."""
    scene.start_worker()
    address = scene.start_service("complaints")
    event = fact("complaints", "complaint_received", "c1")
    with (
        grpc.insecure_channel(address) as channel,
        HistoryWriter(scene.history, "client") as history,
    ):
        submit = ComplaintsIntakeServiceStub(channel).Submit
        op = history.invoke("complaints", event.envelope, now_ms())
        answer = submit(complaints.SubmitRequest(event=event), timeout=CALL_SECONDS)  # type: ignore[arg-type]
        history.ok(op, "complaints", event.envelope, answer.receipt, now_ms())
        scene.system.process("complaints").kill()
    scene.system.supervisor.stop("complaints")
    scene.wait_applied()
    return scene.judge()


Scenario = Callable[[Scene], Verdict]


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug: where it is put in, how it is made to bite, who must report it."""

    patch: str
    child: str
    scenario: Scenario
    findings: Sequence[tuple[str, str]]
    """Check and words of a finding: there must be one like each of them."""


MISSING = ("O3", "a record is missing")
DIFFERS = ("O3", "the view differs")
MISCOUNTED = ("O9", "records are counted as")
NO_LETTER = ("O9", "a refused record without a dead letter")

BUGS: Sequence[Bug] = (
    Bug("count_by_adding", WORKER, facts_of_all_kinds, (DIFFERS,)),
    Bug("acks_not_awaited", "complaints", intake_killed, (("O1", "but not on the log"),)),
    Bug("offsets_outside_the_transaction", WORKER, worker_killed_between, (MISCOUNTED,)),
    Bug("one_transactional_id", WORKER, worker_writes_everywhere, (MISSING, MISCOUNTED)),
    Bug("poll_across_a_rebalance", WORKER, worker_joins, (MISSING, MISCOUNTED)),
    Bug("commit_past_a_gap", WORKER, facts_of_all_kinds, (MISSING, MISCOUNTED)),
    Bug("wrong_tie_break", WORKER, facts_of_all_kinds, (DIFFERS, NO_LETTER)),
    Bug(
        "projection_before_the_commit",
        "projection",
        worker_dies_uncommitted,
        (("O5", "a record that was never committed"),),
    ),
    Bug("cursor_off_by_one", "profiles", subscriber_comes_back, (("O7", "delivered again"),)),
    Bug("dead_letter_dropped", WORKER, facts_of_all_kinds, (NO_LETTER,)),
)

CONTROLS: Sequence[Scenario] = tuple(dict.fromkeys(bug.scenario for bug in BUGS))
"""Every scenario: without its bug the judge must find nothing but what is expected anyway."""

FAULTS: MappingProxyType[Scenario, MappingProxyType[str, str]] = MappingProxyType(
    {
        worker_killed_between: MappingProxyType({WORKER: "dies_after_a_commit"}),
        worker_dies_uncommitted: MappingProxyType({WORKER: "dies_before_the_commit"}),
    }
)
"""Scenario → faults that belong to it; a bug in the same process takes the fault's place."""

EXPECTED_ANYWAY: MappingProxyType[Scenario, frozenset[str]] = MappingProxyType(
    {worker_dies_uncommitted: frozenset({"O9", "O3", "O4"})}
)
"""Scenario → checks that find something without any bug: here the worker stays down."""
