"""A view made by hand, for tests of features and rules: facts in, lists and buckets counted."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.licence_standing import NO_END_DAY
from services.lifecycle.alerting import ThreadChange
from services.lifecycle.features.days import date_of, day_of
from services.lifecycle.view import Change, MatterView

DAY_MS = 86_400_000

_MARKS: dict[str, tuple[int, ...]] = {
    "complaints.complaint_received": (state_pb2.COUNTER_COMPLAINTS,),
    "complaints.report_received": (state_pb2.COUNTER_REPORTS,),
    "inspections.inspection_completed": (
        state_pb2.COUNTER_INSPECTIONS,
        state_pb2.COUNTER_ACTIVITY,
    ),
    "inspections.sample_taken": (state_pb2.COUNTER_ACTIVITY,),
    "penalties.penalty_decided": (state_pb2.COUNTER_PENALTIES,),
}


@dataclass(frozen=True, slots=True)
class MadeFact:
    """One fact: event type `<family>.<arm>`, civil day, matter."""

    event_type: str
    day: int
    matter_id: str
    code: str = ""
    result: str = ""
    place_type: str = ""

    @property
    def event_id(self) -> str:
        """An id that names the fact."""
        return f"{self.event_type}@{self.matter_id}@{self.day}"

    def sums(self) -> list[tuple[int, str]]:
        """(counter, code) that the fact adds one to."""
        sums: list[tuple[int, str]] = [(state_pb2.COUNTER_FACTS, "")]
        sums += [(counter, "") for counter in _MARKS.get(self.event_type, ())]
        if self.event_type == "penalties.penalty_decided":
            sums.append((state_pb2.COUNTER_PENALTIES_BY_VIOLATION, self.code))
        results = {
            "pass": state_pb2.COUNTER_INSPECTIONS_PASSED,
            "conditional": state_pb2.COUNTER_INSPECTIONS_CONDITIONAL,
            "fail": state_pb2.COUNTER_INSPECTIONS_FAILED,
        }
        if self.event_type == "inspections.inspection_completed" and self.result:
            sums.append((results[self.result], ""))
        return sums

    def inspection(self) -> state_pb2.InspectionDigest:
        """The fact as a result."""
        return state_pb2.InspectionDigest(
            matter_id=self.matter_id,
            kind="inspection",
            event_time_ms=self.day * DAY_MS,
            day=self.day,
            result=self.result,
            place_type=self.place_type,
            slot_key=self.event_id,
        )


@dataclass(slots=True)
class MadeView:
    """Implements `view.EntityView` from lists of facts and licences that a test may change."""

    now: date
    facts: list[MadeFact] = field(default_factory=list)
    licences: list[state_pb2.LicenceState] = field(default_factory=list)
    name: str = "香樟小吃店"
    entity_key: str = "uscc:91442000MA4TEST001"
    threads: dict[str, state_pb2.AlertThread] = field(default_factory=dict)

    @property
    def now_day(self) -> int:
        """Civil day of the stream time."""
        return day_of(self.now)

    @property
    def now_ms(self) -> int:
        """Noon of that day."""
        return self.now_day * DAY_MS + DAY_MS // 2

    @property
    def entity(self) -> state_pb2.EntityState:
        """The entity's state, counted from the facts."""
        ordered = sorted(self.facts, key=lambda fact: (fact.day, fact.event_id))
        totals: dict[tuple[int, str], int] = defaultdict(int)
        for fact in self.facts:
            for key in fact.sums():
                totals[key] += 1
        inspections = [fact for fact in ordered if fact.event_type.endswith("inspection_completed")]
        open_threads = [
            thread.alert
            for thread in self.threads.values()
            if thread.alert.state == alert_pb2.ALERT_STATE_OPEN
        ]
        open_threads.sort(key=lambda alert: (alert.rule.rule_id, alert.episode_key))
        return state_pb2.EntityState(
            entity_key=self.entity_key,
            claims=[
                state_pb2.AttributeClaim(
                    attribute=state_pb2.ATTRIBUTE_KIND_DIVISION, value="GB/T 2260 442000"
                ),
                state_pb2.AttributeClaim(
                    attribute=state_pb2.ATTRIBUTE_KIND_NAME, value=self.name, rank=1
                ),
            ],
            licences=self.licences,
            inspections=[fact.inspection() for fact in inspections[-8:]],
            recent_facts=[
                state_pb2.RecentFact(
                    event_id=fact.event_id,
                    event_type=fact.event_type,
                    event_time_ms=fact.day * DAY_MS,
                    day=fact.day,
                    matter_id=fact.matter_id,
                    slot_key=fact.event_id,
                    code=fact.code,
                )
                for fact in ordered[-12:]
            ],
            totals=[
                state_pb2.CounterSum(counter=state_pb2.Counter.ValueType(counter), code=code, sum=n)
                for (counter, code), n in sorted(totals.items())
            ],
            open_alerts=[
                state_pb2.AlertReference(
                    alert_id=alert.alert_id,
                    rule_id=alert.rule.rule_id,
                    severity=alert.severity,
                    episode_key=alert.episode_key,
                    matter_id=alert.matter_id,
                )
                for alert in open_threads[:16]
            ],
        )

    def month(self, year: int, month: int) -> state_pb2.MonthBucket:
        """Day sums of a month."""
        days = [fact for fact in self.facts if _month(fact.day) == (year, month)]
        return state_pb2.MonthBucket(days=_periods({f: date_of(f.day).day for f in days}))

    def year(self, year: int) -> state_pb2.YearBucket:
        """Month sums of a year."""
        months = [fact for fact in self.facts if date_of(fact.day).year == year]
        return state_pb2.YearBucket(months=_periods({f: date_of(f.day).month for f in months}))

    def matter(self, matter_id: str) -> MatterView | None:
        """One matter, where it has facts or is a licence."""
        facts = [fact for fact in self.facts if fact.matter_id == matter_id]
        licence = next((held for held in self.licences if held.matter_id == matter_id), None)
        if not facts and licence is None:
            return None
        family = facts[0].event_type.partition(".")[0] if facts else "registration"
        kinds = {"inspections": "inspection", "complaints": "complaint", "penalties": "case"}
        anchors: tuple[tuple[str, int], ...] = ()
        if licence is not None and licence.to_day != NO_END_DAY:
            anchors = (("licence_to_day", licence.to_day),)
        return MatterView(
            digest=state_pb2.MatterDigest(
                matter_id=matter_id, kind="licence" if licence else kinds.get(family, "")
            ),
            licence=licence,
            penalty=None,
            inspections=tuple(fact.inspection() for fact in facts if fact.result),
            anchors=anchors,
            days=tuple(sorted({fact.day for fact in facts})),
        )

    def thread(self, alert_id: str) -> state_pb2.AlertThread | None:
        """The thread of an alert."""
        return self.threads.get(alert_id)

    def all_licences(self) -> list[state_pb2.LicenceState]:
        """All licences."""
        return self.licences

    def all_inspections(self) -> list[state_pb2.InspectionDigest]:
        """All results."""
        return [f.inspection() for f in self.facts if f.event_type.endswith("inspection_completed")]

    def open_episodes_of(self, rule_id: str, matter_id: str) -> list[str]:
        """Episode keys of a rule's open alerts of a matter."""
        return sorted(
            thread.alert.episode_key
            for thread in self.threads.values()
            if thread.alert.state == alert_pb2.ALERT_STATE_OPEN
            and thread.alert.rule.rule_id == rule_id
            and thread.alert.matter_id == matter_id
        )

    def open_episodes(self) -> set[tuple[str, str]]:
        """(rule id, episode) of every open thread."""
        return {
            (thread.alert.rule.rule_id, thread.alert.episode_key)
            for thread in self.threads.values()
            if thread.alert.state == alert_pb2.ALERT_STATE_OPEN
        }

    def apply(self, changes: list[ThreadChange]) -> list[alert_pb2.AlertRecord]:
        """Keep changed threads as the stream would, and return what it would publish."""
        for change in changes:
            self.threads[change.thread.alert.alert_id] = change.thread
        return [change.record for change in changes if change.record is not None]

    def take_back(self, fact: MadeFact) -> Change:
        """Remove a fact and return the change that its withdrawal is."""
        self.facts.remove(fact)
        return replace(changed(fact, "withdrawn "), withdrawn=True)


def _month(day: int) -> tuple[int, int]:
    value = date_of(day)
    return value.year, value.month


def _periods(period_of: dict[MadeFact, int]) -> list[state_pb2.PeriodSum]:
    sums: dict[int, dict[tuple[int, str], int]] = defaultdict(lambda: defaultdict(int))
    for fact, period in period_of.items():
        for key in fact.sums():
            sums[period][key] += 1
    return [
        state_pb2.PeriodSum(
            period=period,
            sums=[
                state_pb2.CounterSum(counter=state_pb2.Counter.ValueType(counter), code=code, sum=n)
                for (counter, code), n in sorted(sums[period].items())
            ],
        )
        for period in sorted(sums)
    ]


def changed(fact: MadeFact, cause: str = "", *, standing: bool = False) -> Change:
    """Return the change that a fact is when it arrives."""
    return Change(
        cause=alert_pb2.Cause(event_id=cause + fact.event_id),
        event_type=fact.event_type,
        matter_id=fact.matter_id,
        days=(fact.day,),
        withdrawn=False,
        standing=standing,
    )


def made_licence(
    matter_id: str, *terms: tuple[date, date, date], licence_type: str = "food"
) -> state_pb2.LicenceState:
    """Return a licence of terms (first day, last day, day on which it became known)."""
    held = sorted(tuple(day_of(day) for day in term) for term in terms)
    return state_pb2.LicenceState(
        matter_id=matter_id,
        licence_type=licence_type,
        licence_number=f"JY{matter_id[-4:]}",
        terms=[
            state_pb2.LicenceTerm(from_day=first, to_day=last, fact_day=known)
            for first, last, known in held
        ],
        to_day=max(term[1] for term in held),
    )


def ended(kind: str, on: date, stated: date) -> state_pb2.LicenceEnd:
    """Return an end of a licence, and the day on which it was stated."""
    return state_pb2.LicenceEnd(kind=kind, ended_day=day_of(on), fact_day=day_of(stated))
