"""The whole judgement: every check over one set of evidence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from integration_tests.judge.accounting import check_accounting, refused_on_its_word
from integration_tests.judge.alerts import check_alerts
from integration_tests.judge.answer_log import read_answers
from integration_tests.judge.answers import check_profiles, check_versions
from integration_tests.judge.canonical import digests
from integration_tests.judge.durability import check_acknowledged, check_nothing_else
from integration_tests.judge.evidence import Evidence
from integration_tests.judge.history import Place, read_history
from integration_tests.judge.order_free import check_order_free
from integration_tests.judge.placement import check_placement, homes_of
from integration_tests.judge.raw_log import RawLog, read_log
from integration_tests.judge.read_model import check_read_model
from integration_tests.judge.recordings import read_recording
from integration_tests.judge.reference.entity import Picture
from integration_tests.judge.reference.facts import check_body
from integration_tests.judge.reference.records import picture
from integration_tests.judge.rules.replay import replay
from integration_tests.judge.rules.rows import first_bundle
from integration_tests.judge.rules.threads import Threads
from integration_tests.judge.sequence import History, in_order, walk
from integration_tests.judge.subscribers import check_subscribers
from integration_tests.judge.verdict import Verdict
from integration_tests.judge.view import NOT_RECOMPUTED, check_view

NAMES: Sequence[str] = ("events", "acknowledged", "alerts", "lost", "doubled")
"""Counts that every verdict tells, be they 0."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a log comes to."""

    pictures: Mapping[str, Picture]
    threads: Mapping[str, Threads]


def judge(evidence: Evidence) -> Verdict:
    """Judge a run. The system must be at rest: everything read, the read model at the end.

    A check that the evidence requires and that cannot be made is a finding. Raises UnsettledError
    when the system is not at rest, and the errors of Kafka and Redis.
    """
    verdict = Verdict(counts=dict.fromkeys(NAMES, 0), not_recomputed=NOT_RECOMPUTED)
    log = read_log(evidence.bootstrap, evidence.topic_prefix)
    _judge_history(evidence, log, verdict)
    reference = judge_log(log, verdict, evidence.put_aside, rebuilt=evidence.rebuilt)
    _judge_read_side(evidence, log, reference, verdict)
    verdict.demand(evidence.demanded)
    return verdict


def judge_log(
    log: RawLog, verdict: Verdict, put_aside: Collection[Place] = (), *, rebuilt: bool = False
) -> Reference:
    """Judge what the stream made of a log: accounts, view, alerts. Return what it comes to.

    ``put_aside``: the only records that may have been put aside because processes died on them.
    ``rebuilt``: whether the state was made again after alerts had been published.
    """
    permitted = {(log.short(place.topic), *place[1:]) for place in put_aside}
    refused = refused_on_its_word(log, permitted)
    history = walk(in_order(log), refused, check_body)
    check_accounting(log, history, refused, verdict)
    slots, homes = history.slots, homes_of(history.applied)
    pictures = {entity_key: picture(slots, entity_key) for entity_key in slots.entities}
    check_placement(log, homes, verdict)
    check_view(log, slots, pictures, homes, verdict)
    check_order_free(history, verdict)
    threads = _judge_alerts(log, history, verdict, rebuilt=rebuilt)
    verdict.digests = digests(log)
    return Reference(pictures, threads)


def _judge_alerts(
    log: RawLog, history: History, verdict: Verdict, *, rebuilt: bool
) -> Mapping[str, Threads]:
    bundle = first_bundle(log)
    if bundle is None:
        verdict.not_made("O4", "no rules on the control topic")
        return {}
    threads = replay(history, bundle)
    check_alerts(log, history, threads, verdict, rebuilt=rebuilt)
    return threads


def _judge_read_side(
    evidence: Evidence, log: RawLog, reference: Reference, verdict: Verdict
) -> None:
    if evidence.redis_url is None:
        verdict.not_made("O5", "no read model given")
    else:
        check_read_model(log, evidence, evidence.redis_url, verdict)
    if evidence.profiles_address is None:
        verdict.not_made("O6", "no profile service given")
    else:
        check_profiles(evidence.profiles_address, reference.pictures, reference.threads, verdict)
    if evidence.answers is None:
        verdict.not_made("O6 versions", "no answers given")
    else:
        check_versions(list(read_answers(evidence.answers)), verdict)
    if not evidence.recordings:
        verdict.not_made("O7", "no recordings given")
    else:
        recordings = [read_recording(path) for path in evidence.recordings]
        check_subscribers(recordings, log, verdict)


def _judge_history(evidence: Evidence, log: RawLog, verdict: Verdict) -> None:
    operations = read_history(evidence.history)
    if not operations:
        verdict.not_made("O1", "no history")
        verdict.not_made("O2", "no history")
        verdict.count("events", len(log.events))
        return
    check_acknowledged(operations, log, verdict)
    check_nothing_else(operations, log, verdict)
