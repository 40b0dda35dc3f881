"""Judging one event, or one date that passed, by the rules it triggers (预警判定). Pure.

Truth is asked as of the end of civil days: of each day, within the rule's window after the change,
on which a fact of a kind that triggers the rule stands, and of each date the rule waits for. So two
facts of one day agree, a late fact also re-evaluates what came after it, and the order in which
facts arrive does not matter. What merely passes time raises nothing: a rule that wants to look
without an event names a due date.

Days older than the rule's max age raise nothing, so an import wakes nobody; but a thread that is
open is judged again however old its days are.
"""

from collections import Counter as Multiset
from collections.abc import Iterator
from dataclasses import dataclass

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle import alerting
from services.lifecycle.alerting import Finding, ThreadChange
from services.lifecycle.features.catalogue import computed
from services.lifecycle.features.moment import Moment
from services.lifecycle.features.windows import WINDOW_DAYS_MAX, days_with
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.conditions import Condition
from services.lifecycle.rules.episodes import (
    CALENDAR_EPISODES,
    DATED_EPISODES,
    calendar_episodes,
    episode_key,
    matter_episode,
)
from services.lifecycle.rules.errors import ExpressionError
from services.lifecycle.rules.rule import DUE_PREFIX, CompiledRule
from services.lifecycle.rules.subjects import subjects_of
from services.lifecycle.view import Change, EntityView

HELD_DAYS_MAX = 31
EVALUATED_DAYS_MAX = 1_000
"""Days judged for one rule, subject and event; the newest. Only a rule whose max age is in years
can come near it."""
OPEN_ALERTS_SHOWN = 16
"""How many open alerts the entity's state lists; beyond, threads are looked up one by one."""

_REOPENS = frozenset({alert_pb2.ALERT_OUTCOME_WITHDRAWN, alert_pb2.ALERT_OUTCOME_RESOLVED})


def evaluate(
    bundle: CompiledBundle,
    view: EntityView,
    change: Change,
    suppressed: Multiset[str] | None = None,
    failed: Multiset[str] | None = None,
) -> list[ThreadChange]:
    """Return what a change does to the entity's alert threads, in a fixed order.

    The view must already hold the change, and the threads and open alerts as the changes before
    left them; nothing of it is modified. ``suppressed`` counts, by rule id, changes whose own day
    was too old to raise anything; ``failed`` counts conditions that could not be computed, which
    are taken as not holding.
    """
    result: list[ThreadChange] = []
    failures: Multiset[str] = Multiset() if failed is None else failed
    for rule in bundle.triggered_by_any(change.event_type, change.event_type_before):
        if suppressed is not None and _is_too_old(rule, view, change):
            suppressed[rule.row.id] += 1
        for matter_id in subjects_of(rule, view, change):
            judgement = _Judgement(bundle, rule, view, change, matter_id, failures)
            result.extend(judgement.thread_changes())
    return result


def _is_too_old(rule: CompiledRule, view: EntityView, change: Change) -> bool:
    return bool(change.days) and max(change.days) < view.now_day - rule.row.max_age_days


@dataclass(slots=True)
class _Judgement:
    """One rule, one subject, one change."""

    bundle: CompiledBundle
    rule: CompiledRule
    view: EntityView
    change: Change
    matter_id: str | None
    failed: Multiset[str]

    def thread_changes(self) -> Iterator[ThreadChange]:
        held_by_episode: dict[str, list[int]] = {}
        for day in self._days():
            moment = Moment(self.view, day, self.matter_id)
            if self._is_true(self.rule.condition, moment):
                key = episode_key(self.rule.row, moment)
                if key is not None:
                    held_by_episode.setdefault(key, []).append(day)
        episodes = dict.fromkeys(held_by_episode)
        episodes.update(dict.fromkeys(self._touched_open_episodes()))
        now = Moment(self.view, self.view.now_day, self.matter_id)
        if self.rule.resolved_when is not None:
            episodes.update(dict.fromkeys(self._resolved_episode(now)))
        if not episodes:
            return
        over = self.rule.resolved_when and self._is_true(self.rule.resolved_when, now)
        for key in episodes:
            thread = self._thread(key)
            resolved = bool(over) or self._is_left_behind(key, now)
            changed = self._judged(key, thread, held_by_episode.get(key, []), resolved=resolved)
            if changed is not None:
                yield changed

    def _days(self) -> list[int]:
        """Days of which the truth is asked, ascending."""
        now_day, row = self.view.now_day, self.rule.row
        oldest = now_day - row.max_age_days
        days = {day for day in self._due_days() if oldest <= day <= now_day}
        if self.change.days and not self.change.event_type.startswith(DUE_PREFIX):
            first = min(self.change.days)
            # A fact may be dated up to 24 hours ahead of the moment it was taken in.
            last = now_day + 1
            if not self.change.standing:
                last = min(last, max(self.change.days) + row.window_days - 1)
            days.update(days_with(self.view, self.rule.day_counters, max(first, oldest), last))
        judged = sorted(day for day in days if self.rule.raises_on(day))
        return judged[-EVALUATED_DAYS_MAX:]

    def _due_days(self) -> Iterator[int]:
        """Days for which the subject's own dates make the rule look.

        Also where another matter changed: a licence that is cancelled with hindsight no longer
        replaced the one whose date has passed meanwhile.
        """
        if not self.rule.row.due or self.matter_id is None:
            return
        matter = self.view.matter(self.matter_id)
        for anchor, anchor_day in () if matter is None else matter.anchors:
            for due in self.rule.row.due:
                if due.anchor == anchor:
                    yield anchor_day + due.offset_days

    def _touched_open_episodes(self) -> Iterator[str]:
        """Episodes with an open thread that the change may have taken the ground from."""
        shown = self.view.entity.open_alerts
        for reference in shown:
            same_subject = self.matter_id is None or reference.matter_id == self.matter_id
            if reference.rule_id == self.rule.row.id and same_subject:
                yield reference.episode_key
        if len(shown) < OPEN_ALERTS_SHOWN:
            return
        yield from self._unlisted_episodes()

    def _unlisted_episodes(self) -> Iterator[str]:
        """Of an entity with more open alerts than its state lists, those among the rest."""
        if self.matter_id is not None and self.rule.row.episode == "matter":
            yield from self._if_open(matter_episode(self.matter_id))
            return
        if self.matter_id is not None and self.rule.row.episode not in CALENDAR_EPISODES:
            yield from self.view.open_episodes_of(self.rule.row.id, self.matter_id)
            return
        if not self.change.days:
            return
        first, last = min(self.change.days), self.view.now_day + 1
        if not self.change.standing:
            last = min(last, max(self.change.days) + self.rule.row.window_days - 1)
        for key in calendar_episodes(self.rule.row, self.matter_id, first, last):
            yield from self._if_open(key)

    def _if_open(self, key: str) -> Iterator[str]:
        thread = self._thread(key)
        if thread is not None and thread.alert.state == alert_pb2.ALERT_STATE_OPEN:
            yield key

    def _judged(
        self,
        key: str,
        thread: state_pb2.AlertThread | None,
        found: list[int],
        *,
        resolved: bool,
    ) -> ThreadChange | None:
        if thread is not None and thread.alert.state == alert_pb2.ALERT_STATE_OPEN:
            return self._judged_open(key, thread, found, resolved=resolved)
        if not found and thread is not None and not resolved:
            found = self._held_before(key, thread)
        if not found or resolved:
            return None
        if thread is not None and thread.alert.outcome not in _REOPENS:
            return None
        finding = Finding(self.rule, self.matter_id, key, found[0])
        days = found[-HELD_DAYS_MAX:]
        return alerting.raised(finding, days, thread, self.bundle, self.view, self.change)

    def _resolved_episode(self, now: Moment) -> Iterator[str]:
        """The episode of today, if its alert was resolved: what resolved it may be gone."""
        key = episode_key(self.rule.row, now)
        thread = None if key is None else self._thread(key)
        if key is not None and thread is not None and _is_resolved(thread):
            yield key

    def _held_before(self, key: str, thread: state_pb2.AlertThread) -> list[int]:
        """Days on which a resolved alert held and still does, if they are not too old to raise."""
        oldest = self.view.now_day - self.rule.row.max_age_days
        return [
            day
            for day in thread.held_days
            if _is_resolved(thread)
            and day >= oldest
            and self.rule.raises_on(day)
            and self._holds_in(key, day)
        ]

    def _judged_open(
        self, key: str, thread: state_pb2.AlertThread, found: list[int], *, resolved: bool
    ) -> ThreadChange | None:
        before = list(thread.held_days)
        still = {day for day in before if self._still_holds(key, day)}
        days = sorted(still.union(found))[-HELD_DAYS_MAX:]
        if len(days) < len(before) == HELD_DAYS_MAX:
            days = [*self._earlier_held_days(key, before[0]), *days][-HELD_DAYS_MAX:]
        if not days:
            outcome = alert_pb2.ALERT_OUTCOME_WITHDRAWN
            return alerting.closed(thread, days, outcome, self.view, self.change)
        if resolved:
            outcome = alert_pb2.ALERT_OUTCOME_RESOLVED
            return alerting.closed(thread, days, outcome, self.view, self.change)
        return None if days == before else alerting.held(thread, days)

    def _still_holds(self, key: str, day: int) -> bool:
        if self.change.days and day < min(self.change.days):
            return True
        return self._holds_in(key, day)

    def _holds_in(self, key: str, day: int) -> bool:
        # A day counts for its facts; that of a date once waited for counts by itself.
        if not self.rule.row.due and not days_with(self.view, self.rule.day_counters, day, day):
            return False
        moment = Moment(self.view, day, self.matter_id)
        return (
            self._is_true(self.rule.condition, moment) and episode_key(self.rule.row, moment) == key
        )

    def _earlier_held_days(self, key: str, before_day: int) -> list[int]:
        """Days before the oldest one that a full thread remembers, on which it holds as well."""
        days = days_with(
            self.view, self.rule.day_counters, before_day - WINDOW_DAYS_MAX, before_day - 1
        )
        return [day for day in days if self._holds_in(key, day)]

    def _is_left_behind(self, key: str, now: Moment) -> bool:
        """Whether the licence has another last day by now: what the episode was about is over."""
        if self.rule.resolved_when is None or not self.rule.row.episode.startswith(DATED_EPISODES):
            return False
        current = episode_key(self.rule.row, now)
        return current is not None and current != key

    def _thread(self, key: str) -> state_pb2.AlertThread | None:
        row, entity = self.rule.row, self.view.entity
        return self.view.thread(alerting.alert_id(row.id, entity.entity_key, key))

    def _is_true(self, condition: Condition, moment: Moment) -> bool:
        try:
            return condition.holds(computed(condition.names, moment))
        except ExpressionError:
            # A rule must never stop the stream; that it failed is counted, for its owner to see.
            self.failed[self.rule.row.id] += 1
            return False


def _is_resolved(thread: state_pb2.AlertThread) -> bool:
    return thread.alert.outcome == alert_pb2.ALERT_OUTCOME_RESOLVED
