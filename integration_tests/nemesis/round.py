"""One round: start, load with faults, rest, perhaps a disaster at rest, judge."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from integration_tests.judge.evidence import Evidence
from integration_tests.judge.judgement import judge
from integration_tests.nemesis.evidence_dump import dump_topics
from integration_tests.nemesis.faults import FaultError, strike
from integration_tests.nemesis.load import Load, LoadShape
from integration_tests.nemesis.rest import wait_rest
from integration_tests.nemesis.schedule import Act, Strikes, schedule
from integration_tests.nemesis.stage import WORKERS, Stage
from integration_tests.nemesis.submissions import draw_submissions
from integration_tests.system.support import alert_records, view_digest
from services.local.errors import LocalError
from services.local.kafka import LocalKafka
from services.local.redis import LocalRedis
from services.local.run_directory import owned_run_directory
from services.streaming.exits import ExitCode

Say = Callable[[str], object]

KILLED = -9
WORKER_EXITS = {
    KILLED,
    ExitCode.FENCED,
    ExitCode.UNASSIGNED,
    ExitCode.TOPICS_UNUSABLE,
    ExitCode.RECOVERY_FAILED,
    ExitCode.UNIT_TIMEOUT,
    ExitCode.DELIVERY_FAILED,
    ExitCode.COMMIT_FAILED,
}
"""Ends by which a worker repairs itself; any other is a finding."""
SERVICE_EXITS = {KILLED, 1}
"""An intake, the projection and the query side end with 1 when what they need is not there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a row of the catalogue does in a round."""

    strikes: tuple[Strikes, ...]
    """Under load."""
    disaster: tuple[Strikes, ...] = ()
    """At rest, after a first look at the digest: the digest after it must be the same."""
    load: LoadShape = field(default_factory=LoadShape)
    own_broker: bool = False
    """The broker itself is struck."""
    workers: tuple[str, ...] = WORKERS
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Child name → module with arguments that meddles with the service before it runs."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further environment of every service."""
    worker_exits: frozenset[int] = frozenset()
    """Exit codes of workers that are no finding in this row."""
    expect: Callable[["Result"], list[str]] | None = None
    """Returns what else is wrong with a result."""


@dataclass(slots=True)
class Result:
    """One line of the results."""

    row: str
    seed: int
    ok: bool = False
    events: int = 0
    lost: int = 0
    doubled: int = 0
    alerts: int = 0
    seconds: float = 0.0
    digest_before: str = ""
    digest_after: str = ""
    acts: list[str] = field(default_factory=list)
    exits: dict[str, int] = field(default_factory=dict)
    """Service and exit code → how often."""
    answers: dict[str, int] = field(default_factory=dict)
    """Who was told which code → how often."""
    counts: dict[str, int] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    kept: str = ""
    """Run directory of a failed round."""

    def line(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def run_round(
    row: str, seed: int, plan: Plan, *, broker: LocalKafka | str, directory: Path, say: Say
) -> Result:
    """Run one round below ``directory``, which is kept when the round fails.

    ``broker``: a node that this round may kill, or the address of one that it may not.
    """
    result = Result(row, seed)
    began = time.monotonic()
    acts = schedule(plan.strikes, row, seed)
    disaster = schedule(plan.disaster, f"{row} disaster", seed)
    for act in (*acts, *disaster):
        say(f"  {act}")
    bootstrap = broker if isinstance(broker, str) else broker.bootstrap_servers
    try:
        with owned_run_directory(directory), LocalRedis(directory / "redis") as redis:
            stage = Stage(
                directory,
                bootstrap,
                redis,
                broker if isinstance(broker, LocalKafka) and plan.own_broker else None,
                f"{row.lower()}-{seed}-{directory.name[-6:]}.",
                plan.workers,
                plan.wrappers,
                plan.extra,
            )
            _run(stage, plan, acts, disaster, result)
    except (AssertionError, LocalError, TimeoutError) as error:
        result.findings.append(f"{type(error).__name__}: {error}")
    result.seconds = round(time.monotonic() - began, 1)
    if plan.expect is not None:
        result.findings += plan.expect(result)
    result.ok = not result.findings
    if result.ok:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        result.kept = str(directory)
    return result


def _run(
    stage: Stage, plan: Plan, acts: Sequence[Act], disaster: Sequence[Act], result: Result
) -> None:
    items = draw_submissions(result.seed, plan.load.events)
    load: Load | None = None
    with stage:
        load = Load(stage, items, plan.load, result.seed, stage.directory / "clients")
        stage.history = load.history
        try:
            load.start()
            _strike_all(stage, acts, result)
            load.wait_settled()
            wait_rest(stage, load)
            if disaster:
                result.digest_before = view_digest(stage.bootstrap).total
                _strike_all(stage, disaster, result)
                wait_rest(stage, load)
            load.stop()
            _judge(stage, load, plan, result)
        except BaseException:
            dump_topics(stage.bootstrap, stage.directory / "topics")
            raise
        finally:
            load.stop()
            _account(stage, load, plan, result)
        if result.findings:
            dump_topics(stage.bootstrap, stage.directory / "topics")


def _strike_all(stage: Stage, acts: Sequence[Act], result: Result) -> None:
    began = time.monotonic()
    for act in acts:
        time.sleep(max(0.0, began + act.at_s - time.monotonic()))
        stage.check()
        result.acts.append(str(act))
        try:
            strike(stage, act)
        except FaultError as error:
            result.findings.append(str(error))


def _judge(stage: Stage, load: Load, plan: Plan, result: Result) -> None:
    evidence = Evidence(
        bootstrap=stage.bootstrap,
        topic_prefix=stage.prefix,
        redis_url=stage.redis.url,
        profiles_address=stage.endpoint("profiles"),
        history=load.history,
        recordings=[each.file for each in load.subscribers],
        answers=load.answers if load.queriers else None,
    )
    evidence.save(stage.directory)
    verdict = judge(evidence)
    result.findings += [str(finding) for finding in verdict.findings]
    result.counts, result.checks = verdict.counts, verdict.checks
    result.events = verdict.counts.get("events", 0)
    result.lost = verdict.counts.get("lost", 0)
    result.doubled = verdict.counts.get("doubled", 0)
    result.alerts = len(alert_records(stage.bootstrap))
    result.digest_after = view_digest(stage.bootstrap).total
    if plan.disaster and result.digest_before != result.digest_after:
        result.findings.append("the view after the disaster is not the one before it")
    (stage.directory / "verdict.txt").write_text(f"{verdict}\n", encoding="utf-8")


def _account(stage: Stage, load: Load, plan: Plan, result: Result) -> None:
    exits = Counter((end.name, end.exit_code) for end in stage.exits)
    result.exits = {f"{name} {code}": count for (name, code), count in sorted(exits.items())}
    for name, code in exits:
        worker = name.startswith("lifecycle")
        allowed = WORKER_EXITS | plan.worker_exits if worker else SERVICE_EXITS
        if code not in allowed:
            result.findings.append(f"{name} ended with {code}")
    answers = Counter({f"client {code}": n for code, n in load.tally.codes.items()})
    for querier in load.queriers:
        answers.update({f"querier {code}": n for code, n in querier.answers.items()})
    result.answers = dict(sorted(answers.items()))
    result.findings += load.violations
