"""What a round tells beside the judge: how processes ended, who was told what."""

from collections import Counter

from integration_tests.nemesis.load import Load
from integration_tests.nemesis.plan import Plan, Result
from integration_tests.nemesis.readers import ForgetfulSubscriber
from integration_tests.nemesis.stage import Stage
from services.streaming.exits import ExitCode

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


def account(stage: Stage, load: Load, plan: Plan, result: Result) -> None:
    """Fill in exits and answers; an end that repairs nothing, a wrong answer are findings."""
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
    result.connections = sum(each.connections for each in load.subscribers)
    result.findings += _forgotten(load)


def _forgotten(load: Load) -> list[str]:
    """What a forgetful subscriber lacks, or has that nobody else has."""
    others = [set(s.records) for s in load.subscribers if not isinstance(s, ForgetfulSubscriber)]
    found = []
    for subscriber in load.subscribers:
        if isinstance(subscriber, ForgetfulSubscriber) and others:
            everything = set[str]().union(*others)
            if set(subscriber.records) != everything:
                differing = sorted(set(subscriber.records) ^ everything)[:5]
                found.append(f"{subscriber.name} and the others differ: {differing}")
    return found
