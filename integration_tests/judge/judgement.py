"""The whole judgement: every check over one set of evidence."""

from collections.abc import Sequence

from integration_tests.judge.accounting import check_accounting, refused_on_its_word
from integration_tests.judge.admission import Event
from integration_tests.judge.durability import check_acknowledged, check_nothing_else
from integration_tests.judge.evidence import Evidence
from integration_tests.judge.history import read_history
from integration_tests.judge.raw_log import RawLog, read_log
from integration_tests.judge.sequence import in_order, walk
from integration_tests.judge.verdict import Verdict

NAMES: Sequence[str] = ("lost", "doubled")


def judge(evidence: Evidence) -> Verdict:
    """Judge a run. The system must be at rest: everything read, the read model at the end.

    Raises UnsettledError when it is not, and the errors of Kafka and Redis.
    """
    verdict = Verdict(counts=dict.fromkeys(NAMES, 0))
    log = read_log(evidence.bootstrap, evidence.topic_prefix)
    _judge_history(evidence, log, verdict)
    history = walk(in_order(log), refused_on_its_word(log), _check_body)
    check_accounting(log, history, verdict)
    return verdict


def _check_body(_event: Event) -> None:
    """Every body makes sense so far."""


def _judge_history(evidence: Evidence, log: RawLog, verdict: Verdict) -> None:
    operations = read_history(evidence.history)
    if not operations:
        verdict.not_made("O1", "no history")
        verdict.not_made("O2", "no history")
        verdict.count("events", len(log.events))
        return
    check_acknowledged(operations, log, verdict)
    check_nothing_else(operations, log, verdict)
