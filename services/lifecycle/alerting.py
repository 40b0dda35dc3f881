"""Alert threads: their identity, their content, their transitions (预警线索). Pure.

Ids are hashes of what they stand for, so a replay gives the same ones.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from market_supervision.alerts.v1 import alert_pb2
from market_supervision.common.v1.envelope_pb2 import CodedValue
from market_supervision.common.v1.localized_text_pb2 import LocalizedText
from market_supervision.lifecycle.v1 import features_pb2, state_pb2

from services.lifecycle.features.catalogue import computed, value_of
from services.lifecycle.features.days import message_of
from services.lifecycle.features.moment import Moment
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.rows import Evidence, Text
from services.lifecycle.rules.rule import CompiledRule
from services.lifecycle.rules.texts import TextFacts, fill
from services.lifecycle.view import Change, EntityView

EVIDENCE_MAX = 12
ID_HEX_CHARACTERS = 32

_EVENT_TYPE_FORM = "market_supervision.{family}.v1.{arm}"


@dataclass(frozen=True, slots=True)
class ThreadChange:
    """What one event did to one thread: its new state, and the record to publish, if any."""

    thread: state_pb2.AlertThread
    record: alert_pb2.AlertRecord | None
    """None where only the days on which the condition held have changed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's condition held of an entity, or of one of its matters, at the end of a day."""

    rule: CompiledRule
    matter_id: str | None
    episode_key: str
    day: int


def _identity(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # Each part with its length before it, so that no two lists of parts hash alike.
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()[:ID_HEX_CHARACTERS]


def alert_id(rule_id: str, entity_key: str, episode_key: str) -> str:
    """Return the id of the one thread of a rule, an entity and an episode."""
    return _identity(rule_id, entity_key, episode_key)


def alert_event_id(
    of_alert: str,
    transition: alert_pb2.AlertTransition.ValueType,
    revision: int,
    cause: alert_pb2.Cause,
) -> str:
    """Return the id of one record of a thread."""
    kind = cause.WhichOneof("kind") or ""
    held = getattr(cause, kind) if kind else ""
    name = alert_pb2.AlertTransition.Name(transition)
    return _identity(of_alert, name, str(revision), kind, held)


def raised(
    finding: Finding,
    held_days: Iterable[int],
    previous: state_pb2.AlertThread | None,
    bundle: CompiledBundle,
    view: EntityView,
    change: Change,
) -> ThreadChange:
    """Raise an alert, or open its closed thread again."""
    alert = _described(finding, bundle, view, change)
    transition = alert_pb2.ALERT_TRANSITION_RAISED
    alert.revision = 1
    if previous is not None:
        transition = alert_pb2.ALERT_TRANSITION_REOPENED
        alert.revision = previous.alert.revision + 1
    alert.state = alert_pb2.ALERT_STATE_OPEN
    return _changed(alert, held_days, transition, change)


def closed(
    thread: state_pb2.AlertThread,
    held_days: Iterable[int],
    outcome: alert_pb2.AlertOutcome.ValueType,
    view: EntityView,
    change: Change,
) -> ThreadChange:
    """Close an open thread; what it said when it was raised stays as it was said."""
    alert = alert_pb2.Alert()
    alert.CopyFrom(thread.alert)
    alert.state = alert_pb2.ALERT_STATE_CLOSED
    alert.outcome = outcome
    alert.revision += 1
    alert.update_time.FromMilliseconds(view.now_ms)
    return _changed(alert, held_days, alert_pb2.ALERT_TRANSITION_CLOSED, change)


def held(thread: state_pb2.AlertThread, held_days: Iterable[int]) -> ThreadChange:
    """Note other days on which the condition held; nothing is published."""
    return ThreadChange(state_pb2.AlertThread(alert=thread.alert, held_days=held_days), None)


def _changed(
    alert: alert_pb2.Alert,
    held_days: Iterable[int],
    transition: alert_pb2.AlertTransition.ValueType,
    change: Change,
) -> ThreadChange:
    record = alert_pb2.AlertRecord(
        alert_event_id=alert_event_id(alert.alert_id, transition, alert.revision, change.cause),
        transition=transition,
        cause=change.cause,
        alert=alert,
    )
    return ThreadChange(state_pb2.AlertThread(alert=alert, held_days=held_days), record)


def _described(
    finding: Finding, bundle: CompiledBundle, view: EntityView, change: Change
) -> alert_pb2.Alert:
    rule, row, entity = finding.rule, finding.rule.row, view.entity
    moment = Moment(view, finding.day, finding.matter_id)
    features = computed(sorted(rule.shown), moment)
    now = Moment(view, view.now_day + 1)
    facts = TextFacts(
        entity_name=now.claim(state_pb2.ATTRIBUTE_KIND_NAME),
        entity_key=entity.entity_key,
        fact_day=finding.day,
        features=features,
        labels=rule.labels,
    )
    due = bundle.calendar.after(view.now_day, row.acknowledge_within_working_days)
    stream_time = Timestamp()
    stream_time.FromMilliseconds(view.now_ms)
    return alert_pb2.Alert(
        alert_id=alert_id(row.id, entity.entity_key, finding.episode_key),
        rule=alert_pb2.RuleRef(rule_id=row.id, version=row.version, bundle_version=bundle.version),
        entity_key=entity.entity_key,
        entity_name=facts.entity_name,
        severity=rule.level,
        severity_axes=rule.axes,
        phase=alert_pb2.Phase.Value(f"PHASE_{row.phase}"),
        episode_key=finding.episode_key,
        fact_date=message_of(finding.day),
        title=_filled(row.title, facts),
        reason=_filled(row.reason, facts),
        legal_basis=rule.legal_basis(),
        evidence=_evidence(finding, features, view, change),
        features=[
            alert_pb2.FeatureValue(name=name, value=_as_text(features, name))
            for name in sorted(rule.condition.names)
        ],
        raised_time=stream_time,
        update_time=stream_time,
        division=_coded(now.claim(state_pb2.ATTRIBUTE_KIND_DIVISION)),
        industry=_coded(now.claim(state_pb2.ATTRIBUTE_KIND_INDUSTRY)),
        owner=row.owner,
        acknowledge_due_date=message_of(due.day),
        acknowledge_due_date_provisional=due.provisional,
        matter_id=finding.matter_id or "",
    )


def _filled(text: Text, facts: TextFacts) -> LocalizedText:
    return LocalizedText(zh=fill(text.zh, "zh", facts), en=fill(text.en, "en", facts))


def _coded(claim: str) -> CodedValue | None:
    system, _, code = claim.rpartition(" ")
    return CodedValue(code_system=system, code=code) if code else None


def _as_text(features: features_pb2.Features, name: str) -> str:
    value = value_of(features, name)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _evidence(
    finding: Finding, features: features_pb2.Features, view: EntityView, change: Change
) -> list[alert_pb2.Evidence]:
    """Return the facts to cite, newest first: of those the entity's state still holds."""
    row = finding.rule.row
    facts = [
        fact
        for fact in view.entity.recent_facts
        if any(_is_cited(fact, item, finding, features) for item in row.evidence)
    ]
    facts.sort(key=lambda fact: (fact.event_time_ms, fact.slot_key), reverse=True)
    cited = [_cited(fact) for fact in facts[:EVIDENCE_MAX]]
    cause = change.cause.event_id
    wanted = {item.event for item in row.evidence}
    # An old fact has left the entity's recent ones, but the event that made the rule look is known.
    if not cited and cause and not change.withdrawn and change.event_type in wanted:
        cited = [
            alert_pb2.Evidence(
                event_id=cause,
                event_type=_cloud_event_type(change.event_type),
                matter_id=change.matter_id,
            )
        ]
    return cited


def _is_cited(
    fact: state_pb2.RecentFact, item: Evidence, finding: Finding, features: features_pb2.Features
) -> bool:
    if fact.event_type != item.event or fact.day > finding.day:
        return False
    if item.own_matter:
        return fact.matter_id == finding.matter_id
    within_days = item.within_days or finding.rule.row.window_days
    if fact.day <= finding.day - within_days:
        return False
    return item.code is None or fact.code == value_of(features, item.code)


def _cited(fact: state_pb2.RecentFact) -> alert_pb2.Evidence:
    evidence = alert_pb2.Evidence(
        event_id=fact.event_id,
        event_type=_cloud_event_type(fact.event_type),
        matter_id=fact.matter_id,
    )
    evidence.event_time.FromMilliseconds(fact.event_time_ms)
    return evidence


def _cloud_event_type(event_type: str) -> str:
    family, _, arm = event_type.partition(".")
    return _EVENT_TYPE_FORM.format(family=family, arm=arm)
