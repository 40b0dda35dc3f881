"""Alert threads as one change after the other leaves them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from integration_tests.judge.reference.entity import Picture
from integration_tests.judge.reference.facts import date_of
from integration_tests.judge.reference.licences import NO_END
from integration_tests.judge.rules.expressions import holds
from integration_tests.judge.rules.features import Moment
from integration_tests.judge.rules.looking import Change, days_looked_at, fact_days
from integration_tests.judge.rules.rows import Rule

OPEN, WITHDRAWN, RESOLVED = "open", "withdrawn", "resolved"


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: open, or how it was closed."""

    rule_id: str
    entity_key: str
    episode: str
    subject: str
    state: str
    fact_day: int
    held_days: frozenset[int]
    """Days on which the condition was found to hold."""


Threads = dict[tuple[str, str], Thread]
"""(rule id, episode) → thread, of one entity."""


@dataclass(frozen=True, slots=True)
class Look:
    """One rule looking at one subject of an entity because of one change."""

    rule: Rule
    picture: Picture
    change: Change
    subject: str
    now_day: int
    _asked: dict[int, str] = field(default_factory=dict)

    def threads(self, threads: Threads) -> Iterable[Thread]:
        """Return the threads that are another way now."""
        found: dict[str, set[int]] = {}
        days = days_looked_at(self.rule, self.picture, self.change, self.subject, self.now_day)
        for day in days:
            episode = self._holds(day)
            if episode:
                found.setdefault(episode, set()).add(day)
        episodes = dict.fromkeys(found)
        for thread in threads.values():
            same = self.rule.scope == "ENTITY" or thread.subject == self.subject
            if thread.rule_id == self.rule.rule_id and thread.state == OPEN and same:
                episodes[thread.episode] = None
        resolves, current = self._resolves_now(), ""
        if self.rule.resolved_when:
            current = self._episode(Moment(self.picture, self.now_day, self.subject))
            held = threads.get((self.rule.rule_id, current))
            if held is not None and held.state == RESOLVED:
                episodes[current] = None
        dated = bool(self.rule.resolved_when) and self.rule.episode.startswith("matter_and_date:")
        for episode in episodes:
            over = resolves or (dated and current not in {"", episode})
            after = self._judged(episode, threads, found.get(episode, set()), over=over)
            if after is not None:
                yield after

    def _judged(
        self, episode: str, threads: Threads, found: set[int], *, over: bool
    ) -> Thread | None:
        held = threads.get((self.rule.rule_id, episode))
        if held is not None and held.state == OPEN:
            first = min(self.change.days, default=-(1 << 40))
            # What lies before the change needs no second look.
            still = {d for d in held.held_days if d < first or self._holds_again(d) == episode}
            days = frozenset(still | found)
            state = WITHDRAWN if not days else RESOLVED if over else OPEN
            return replace(held, state=state, held_days=days)
        if over:
            return None
        if not found and held is not None and held.state == RESOLVED:
            oldest = self.now_day - self.rule.max_age_days
            found = {
                d
                for d in held.held_days
                if d >= oldest and self.rule.may_raise_on(d) and self._holds_again(d) == episode
            }
        if not found:
            return None
        return Thread(
            rule_id=self.rule.rule_id,
            entity_key=self.picture.entity_key,
            episode=episode,
            subject=self.subject,
            state=OPEN,
            fact_day=min(found),
            held_days=frozenset(found),
        )

    def _holds_again(self, day: int) -> str:
        """As `_holds`; a rule that waits for no date also needs a fact of the day."""
        if not self.rule.due and not fact_days(self.rule, self.picture, day, day):
            return ""
        return self._holds(day)

    def _holds(self, day: int) -> str:
        """Return the episode in which the condition held at the end of a day, else nothing."""
        if day not in self._asked:
            moment = Moment(self.picture, day, self.subject)
            true = holds(self.rule.row["condition"], moment.feature)
            self._asked[day] = self._episode(moment) if true else ""
        return self._asked[day]

    def _resolves_now(self) -> bool:
        moment = Moment(self.picture, self.now_day, self.subject)
        text = self.rule.resolved_when
        return bool(text) and holds(text, moment.feature)

    def _episode(self, moment: Moment) -> str:
        """Return the episode that a moment falls into; empty where there is none."""
        suffix = f":{self.subject}" if self.subject else ""
        on = date_of(moment.day)
        match self.rule.episode:
            case "month":
                return f"month:{on.year:04d}-{on.month:02d}{suffix}"
            case "year":
                return f"year:{on.year:04d}{suffix}"
            case "matter":
                return f"matter:{self.subject}"
        worth = moment.worth
        not_ended = self.rule.episode.endswith("licence_end_day") and worth.days_since_end < 0
        if worth.last_day == NO_END or not_ended:
            return ""
        return f"matter:{self.subject}:{date_of(worth.last_day).isoformat()}"
