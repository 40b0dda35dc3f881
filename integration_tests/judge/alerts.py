"""O4: alerts follow from the log by the rules on it; each record of a thread is there once."""

from collections.abc import Mapping

from google.type.date_pb2 import Date
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.alert_records import (
    check_courses,
    check_records,
    check_rules,
    identity,
)
from integration_tests.judge.raw_log import ALERTS, STATE, RawLog
from integration_tests.judge.reference.facts import date_of
from integration_tests.judge.rules.threads import OPEN, Threads
from integration_tests.judge.sequence import History
from integration_tests.judge.verdict import Verdict

OPEN_ALERTS_SHOWN = 16
Live = Mapping[str, state_pb2.AlertThread]
"""Alert id → thread as the state holds it."""


def live_threads(log: RawLog) -> dict[str, state_pb2.AlertThread]:
    """Return the threads of the committed state."""
    return {
        key.decode().split("|")[2]: state_pb2.AlertThread.FromString(record.value or b"")
        for (_partition, key), record in log.latest(STATE).items()
        if b"|a|" in key
    }


def alert_records(log: RawLog) -> list[alert_pb2.AlertRecord]:
    """Return the records of the alerts topic, in the order of partition and offset."""
    return [alert_pb2.AlertRecord.FromString(r.value or b"") for r in log.records[ALERTS]]


def check_alerts(
    log: RawLog,
    history: History,
    wanted: Mapping[str, Threads],
    verdict: Verdict,
    *,
    rebuilt: bool = False,
) -> None:
    """O4: compare open threads, identities, sequences and evidence."""
    live = live_threads(log)
    _check_open(live, wanted, verdict)
    _check_shown(log, live, verdict)
    records = alert_records(log)
    verdict.count("alerts", len(records))
    event_ids = {event.envelope.event_id for event in history.applied}
    check_records(records, event_ids, verdict)
    check_courses(records, live, verdict, rebuilt=rebuilt)
    check_rules(records, log, verdict)
    verdict.made("O4")


def _check_open(live: Live, wanted: Mapping[str, Threads], verdict: Verdict) -> None:
    ours = {
        identity(thread.rule_id, entity_key, thread.episode): thread
        for entity_key, threads in wanted.items()
        for thread in threads.values()
    }
    theirs = {
        alert_id: thread.alert
        for alert_id, thread in live.items()
        if thread.alert.state == alert_pb2.ALERT_STATE_OPEN
    }
    open_ids = {alert_id for alert_id, thread in ours.items() if thread.state == OPEN}
    for alert_id in sorted(open_ids - theirs.keys()):
        thread = ours[alert_id]
        verdict.count("lost")
        about = {"rule": thread.rule_id, "entity": thread.entity_key, "episode": thread.episode}
        verdict.add("O4", "no open alert where there must be one", **about)
    for alert_id in sorted(theirs.keys() - open_ids):
        alert = theirs[alert_id]
        about = {"rule": alert.rule.rule_id, "entity": alert.entity_key}
        verdict.add("O4", "an open alert without ground", episode=alert.episode_key, **about)
    for alert_id in sorted(open_ids & theirs.keys()):
        held = {date_of(day) for day in ours[alert_id].held_days}
        if _date(theirs[alert_id].fact_date) not in held:
            verdict.count("alerts_first_held_on_a_day_since_changed")
    verdict.count("open_alerts", len(theirs))
    closed = {i for i, thread in live.items() if i not in theirs}
    # Two records appended within a moment on two topics may be met the other way round.
    verdict.count("closed_threads_in_another_order", len(closed ^ (ours.keys() - open_ids)))


def _date(value: Date) -> object:
    return date_of(0).replace(year=value.year, month=value.month, day=value.day)


def _check_shown(log: RawLog, live: Live, verdict: Verdict) -> None:
    by_entity: dict[str, list[alert_pb2.Alert]] = {}
    for thread in live.values():
        if thread.alert.state == alert_pb2.ALERT_STATE_OPEN:
            by_entity.setdefault(thread.alert.entity_key, []).append(thread.alert)
    for (_partition, key), record in log.latest(STATE).items():
        if not key.endswith(b"|e"):
            continue
        state = state_pb2.EntityState.FromString(record.value or b"")
        alerts = by_entity.get(state.entity_key, [])
        alerts.sort(key=lambda alert: (alert.rule.rule_id, alert.episode_key))
        ours = [alert.alert_id for alert in alerts[:OPEN_ALERTS_SHOWN]]
        theirs = [reference.alert_id for reference in state.open_alerts]
        told = sum(t.sum for t in state.totals if t.counter == state_pb2.COUNTER_OPEN_ALERTS)
        if ours != theirs or told != len(alerts):
            pair = {"wanted": ours, "found": theirs, "counted": told}
            verdict.add("O4", "the entity shows other open alerts", key=key, **pair)
