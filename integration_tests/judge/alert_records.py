"""Records of the alerts topic: identity, course, evidence, and what their rule says. Pure."""

import hashlib
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from itertools import pairwise

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.raw_log import RawLog
from integration_tests.judge.rules.rows import all_bundles
from integration_tests.judge.verdict import Verdict

_RAISED, _CLOSED, _REOPENED = (
    alert_pb2.ALERT_TRANSITION_RAISED,
    alert_pb2.ALERT_TRANSITION_CLOSED,
    alert_pb2.ALERT_TRANSITION_REOPENED,
)
LEGAL = frozenset({(_RAISED, _CLOSED), (_CLOSED, _REOPENED), (_REOPENED, _CLOSED)})

LEVELS = (
    (13, alert_pb2.SEVERITY_RED),
    (10, alert_pb2.SEVERITY_ORANGE),
    (7, alert_pb2.SEVERITY_YELLOW),
    (4, alert_pb2.SEVERITY_BLUE),
)
"""Least sum of the four axes → level."""
STREAM_TIMES = frozenset(
    {
        "raised_time",
        "update_time",
        "acknowledge_due_date",
        "acknowledge_due_date_provisional",
    }
)
"""Fields of an alert that are append times, or counted from one."""
STAMPED_EARLIER_MS_MAX = 5_000
"""How far two append times may lie apart of records that one reader met the other way round."""


def identity(*parts: str) -> str:
    """Return the id that stands for texts: SHA-256 over each with its length, 32 hex."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return digest.hexdigest()[:32]


def check_records(
    records: Sequence[alert_pb2.AlertRecord], event_ids: set[str], verdict: Verdict
) -> None:
    """Each record stands once, under the id it must have, on evidence that is on the log."""
    seen = Multiset(record.alert_event_id for record in records)
    for alert_event_id, number in seen.items():
        if number > 1:
            verdict.count("doubled", number - 1)
            verdict.add("O4", "an alert record stands more than once", id=alert_event_id, n=number)
    for record in records:
        alert, cause = record.alert, record.cause
        kind = cause.WhichOneof("kind") or ""
        told = getattr(cause, kind) if kind else ""
        transition = alert_pb2.AlertTransition.Name(record.transition)
        alert_id = identity(alert.rule.rule_id, alert.entity_key, alert.episode_key)
        event_id = identity(alert_id, transition, str(alert.revision), kind, told)
        if (alert.alert_id, record.alert_event_id) != (alert_id, event_id):
            verdict.add("O4", "an alert record under another id", id=record.alert_event_id)
        named = {evidence.event_id for evidence in alert.evidence}
        named |= {cause.event_id} if kind == "event_id" else set()
        if named - event_ids:
            missing = sorted(named - event_ids)
            verdict.add("O4", "evidence that is not on the log", id=alert_id, missing=missing)
        if not told:
            verdict.add("O4", "a transition without cause", id=record.alert_event_id)


def check_courses(
    records: Sequence[alert_pb2.AlertRecord],
    live: Mapping[str, state_pb2.AlertThread],
    verdict: Verdict,
    *,
    rebuilt: bool = False,
) -> None:
    """Each thread takes a legal course, and stands in the state as it was last published.

    A state that was ``rebuilt`` may have other times: a broker may have stamped a record before one
    of another topic that was to be read earlier, and the rebuild takes both in the order of stamps.
    """
    by_alert: dict[str, list[alert_pb2.AlertRecord]] = {}
    for record in records:
        by_alert.setdefault(record.alert.alert_id, []).append(record)
    for alert_id, thread in by_alert.items():
        pairs = list(pairwise(record.transition for record in thread))
        revisions = [record.alert.revision for record in thread]
        legal = thread[0].transition == _RAISED and all(pair in LEGAL for pair in pairs)
        if not legal or revisions != list(range(1, len(thread) + 1)):
            verdict.add("O4", "not a course a thread can take", id=alert_id, revisions=revisions)
        if alert_id not in live:
            verdict.add("O4", "an alert that the state does not know", id=alert_id)
        elif fields := _differing(live[alert_id].alert, thread[-1].alert):
            if rebuilt and _is_of_another_order(live[alert_id].alert, thread[-1].alert, fields):
                verdict.count("threads_at_other_times")
            else:
                verdict.add("O4", "the thread is not as last published", id=alert_id, fields=fields)
    for alert_id in live.keys() - by_alert.keys():
        verdict.count("lost")
        verdict.add("O4", "a thread of which no record was published", id=alert_id)


def _differing(alert: alert_pb2.Alert, other: alert_pb2.Alert) -> list[str]:
    """Return the names of the fields in which two alerts differ."""
    names = [field.name for field in alert_pb2.Alert.DESCRIPTOR.fields]
    return [name for name in names if getattr(alert, name) != getattr(other, name)]


def _is_of_another_order(
    alert: alert_pb2.Alert, other: alert_pb2.Alert, fields: Sequence[str]
) -> bool:
    """Tell whether two alerts differ as they do when records were met the other way round."""
    apart_ms = max(
        abs(alert.raised_time.ToMilliseconds() - other.raised_time.ToMilliseconds()),
        abs(alert.update_time.ToMilliseconds() - other.update_time.ToMilliseconds()),
    )
    return set(fields) <= STREAM_TIMES and 0 < apart_ms <= STAMPED_EARLIER_MS_MAX


def check_rules(records: Sequence[alert_pb2.AlertRecord], log: RawLog, verdict: Verdict) -> None:
    """Each alert says what the row of its rule, in the bundle it names, says of it."""
    known = all_bundles(log)
    for alert in (record.alert for record in records):
        bundle = known.get(alert.rule.bundle_version)
        rules = {} if bundle is None else {rule.rule_id: rule.row for rule in bundle.rules}
        row = rules.get(alert.rule.rule_id)
        if row is None:
            verdict.add("O4", "an alert of a rule that is not on the log", id=alert.alert_id)
            continue
        total = sum(row["severity"].values())
        level = next(level for least, level in LEVELS if total >= least)
        wanted = (row["version"], level, f"PHASE_{row['phase']}", row["owner"])
        phase = alert_pb2.Phase.Name(alert.phase)
        found = (alert.rule.version, alert.severity, phase, alert.owner)
        if wanted != found:
            pair = {"wanted": wanted, "found": found}
            verdict.add("O4", "an alert that is not as its rule says", id=alert.alert_id, **pair)
