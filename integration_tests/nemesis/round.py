"""One round: start, load with faults, rest, perhaps a disaster at rest, judge."""

import shutil
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from integration_tests.judge.evidence import Evidence
from integration_tests.judge.judgement import judge
from integration_tests.nemesis.accounts import KILLED, account
from integration_tests.nemesis.deadly_places import deadly_places
from integration_tests.nemesis.evidence_dump import dump_topics
from integration_tests.nemesis.faults import strike
from integration_tests.nemesis.load import Load
from integration_tests.nemesis.plan import Experiment, Plan, Result, Say, Setting
from integration_tests.nemesis.rest import wait_rest
from integration_tests.nemesis.scene import FaultError, Scene
from integration_tests.nemesis.schedule import Act, schedule
from integration_tests.nemesis.settled import settled_digest
from integration_tests.nemesis.shaping import content_of, shaped
from integration_tests.nemesis.stage import Stage
from integration_tests.nemesis.submissions import draw_submissions
from integration_tests.system.support import alert_records
from services.local.kafka import LocalKafka
from services.local.kafka_cluster import LocalKafkaCluster
from services.local.redis import LocalRedis
from services.local.run_directory import owned_run_directory
from services.runtime import clock
from services.streaming.exits import ExitCode

FULL_DISK = "integration_tests.nemesis.full_disk"
DISK_BYTES = 256 << 10
"""Largest file on a full disk: the local store of a partition soon wants more."""
DIE_AT = "integration_tests.nemesis.die_at"


def run_round(
    row: str,
    seed: int,
    form: Plan | Experiment,
    *,
    broker: LocalKafka | str,
    directory: Path,
    say: Say,
) -> Result:
    """Run one round below ``directory``, which is kept when the round fails.

    ``broker``: a node that this round may kill, or the address of one that it may not. Whatever
    goes wrong is a finding of the result; nothing is raised.
    """
    result = Result(row, seed, clock.utc_now().date().isoformat())
    began = time.monotonic()
    bootstrap = broker if isinstance(broker, str) else broker.bootstrap_servers
    try:
        with owned_run_directory(directory):
            if isinstance(form, Experiment):
                form.run(Setting(seed, bootstrap, directory, say), result)
            else:
                mortal = broker if isinstance(broker, LocalKafka) and form.own_broker else None
                with ExitStack() as stack:
                    cluster = None
                    if form.three_nodes:
                        cluster = stack.enter_context(LocalKafkaCluster(directory / "kafka"))
                        bootstrap = cluster.bootstrap_servers
                    _run_plan(form, bootstrap, mortal, cluster, directory, result, say)
    except Exception as error:  # noqa: BLE001  a round that cannot be finished has failed
        result.findings.append(f"{type(error).__name__}: {error}")
        (directory / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
    result.seconds = round(time.monotonic() - began, 1)
    result.ok = not result.findings
    if result.ok:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        result.kept = str(directory)
    return result


def _run_plan(
    plan: Plan,
    bootstrap: str,
    mortal: LocalKafka | None,
    cluster: LocalKafkaCluster | None,
    directory: Path,
    result: Result,
    say: Say,
) -> None:
    acts = schedule(plan.strikes, result.row, result.seed)
    disaster = schedule(plan.disaster, f"{result.row} disaster", result.seed)
    for act in (*acts, *disaster):
        say(f"  {act}")
    wrappers = dict(plan.wrappers)
    for worker, deaths in plan.deaths.items():
        lives = str(directory.resolve() / f"{worker}.lives")
        wrappers[worker] = (DIE_AT, f"{result.seed}-{worker}", str(deaths), lives)
    for name, count in plan.full_disks.items():
        lives = str(directory.resolve() / f"{name}.lives")
        wrappers[name] = (FULL_DISK, str(DISK_BYTES), str(count), lives)
    with LocalRedis(directory / "redis") as redis:
        prefix = f"{result.row.lower()}-{result.seed}-{directory.name[-6:]}."
        stage = Stage(
            directory, bootstrap, redis, mortal, cluster, prefix, plan.workers, wrappers, plan.extra
        )
        _run(stage, plan, acts, disaster, result)
    for name, count in plan.full_disks.items():
        full = result.exits.get(f"{name} {int(ExitCode.LOCAL_DISK_FAILED)}", 0)
        if full != count:
            result.findings.append(f"{name} met a full disk {full} times, not {count}")
    for worker, deaths in plan.deaths.items():
        died = result.exits.get(f"{worker} {KILLED}", 0)
        if died != deaths:
            result.findings.append(f"{worker} died {died} times, not {deaths}")
    found = result.counts.get("dead_letters")
    if plan.dead_letters is not None and found != plan.dead_letters:
        result.findings.append(f"{found} dead letters, not {plan.dead_letters}")


def _run(
    stage: Stage, plan: Plan, acts: Sequence[Act], disaster: Sequence[Act], result: Result
) -> None:
    items = shaped(draw_submissions(result.seed, plan.load.events), plan.load, result.seed)
    result.content = content_of(items, plan.load.deadly)
    load: Load | None = None
    with stage:
        load = Load(stage, items, plan.load, result.seed, stage.directory / "clients")
        stage.history = load.history
        scene = Scene(stage, load, result.seed)
        try:
            load.start()
            _strike_all(scene, acts, result)
            load.wait_settled()
            wait_rest(stage, load)
            if disaster:
                result.digest_before = settled_digest(stage.bootstrap)
                before = _alert_ids(stage.bootstrap)
                _strike_all(scene, disaster, result)
                wait_rest(stage, load)
                if _alert_ids(stage.bootstrap) != before:
                    result.findings.append("the alerts are not those from before the disaster")
            load.stop()
            _judge(stage, load, plan, result)
        except BaseException:
            dump_topics(stage.bootstrap, stage.directory / "topics")
            raise
        finally:
            load.stop()
            account(stage, load, plan, result)
        if result.findings:
            dump_topics(stage.bootstrap, stage.directory / "topics")


def _strike_all(scene: Scene, acts: Sequence[Act], result: Result) -> None:
    began = time.monotonic()
    for act in acts:
        time.sleep(max(0.0, began + act.at_s - time.monotonic()))
        scene.stage.check()
        idle = " (the load was over)" if scene.load.settled else ""
        result.acts.append(f"{act}{idle}")
        try:
            strike(scene, act)
        except FaultError as error:
            result.findings.append(str(error))


def _judge(stage: Stage, load: Load, plan: Plan, result: Result) -> None:
    evidence = Evidence(
        bootstrap=stage.bootstrap,
        topic_prefix=stage.prefix,
        redis_url=stage.redis.url,
        profiles_address=stage.endpoint("profiles"),
        history=load.history,
        recordings=[each.file for each in load.subscribers if each.file is not None],
        answers=load.answers if load.queriers else None,
        put_aside=deadly_places(stage.bootstrap, plan.load.deadly),
        rebuilt=any(strikes.fault == "lose-all-but-the-record" for strikes in plan.disaster),
    )
    evidence.save(stage.directory)
    verdict = judge(evidence)
    result.findings += [str(finding) for finding in verdict.findings]
    result.counts, result.checks = verdict.counts, verdict.checks
    result.events = verdict.counts.get("events", 0)
    result.lost = verdict.counts.get("lost", 0)
    result.doubled = verdict.counts.get("doubled", 0)
    result.alerts = len(alert_records(stage.bootstrap))
    if result.alerts == 0:
        result.findings.append("no alert was raised: what holds of alerts held of none")
    result.digest_after = settled_digest(stage.bootstrap)
    if plan.disaster and result.digest_before != result.digest_after:
        result.findings.append("the view after the disaster is not the one before it")
    (stage.directory / "verdict.txt").write_text(f"{verdict}\n", encoding="utf-8")


def _alert_ids(bootstrap: str) -> list[str]:
    return sorted(record.alert_event_id for record in alert_records(bootstrap))
