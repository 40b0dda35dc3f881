"""The whole log once more: after each record, what the rules make of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from integration_tests.judge.admission import Event
from integration_tests.judge.raw_log import CONTROL, LogRecord
from integration_tests.judge.reference.entity import Matter, Picture, assembled, matter_of
from integration_tests.judge.reference.facts import civil_day, schemes
from integration_tests.judge.reference.slots import Slots
from integration_tests.judge.rules.looking import STANDING_FAMILY, Change, anchors_of, subjects
from integration_tests.judge.rules.rows import Bundle, Rule, bundle_of, control_of, in_force
from integration_tests.judge.rules.threads import Look, Threads
from integration_tests.judge.sequence import History

GO_BACK_DAYS_MAX = 731


@dataclass(slots=True)
class _Cursor:
    day_done: int
    waits: dict[tuple[str, str, int], int]


@dataclass(slots=True)
class _Partition:
    """What one partition is at while its records are taken."""

    first: Bundle
    slots: Slots = field(default_factory=Slots)
    threads: dict[str, Threads] = field(default_factory=dict)
    bundles: dict[int, Bundle] = field(default_factory=dict)
    matters: dict[tuple[str, str], Matter | None] = field(default_factory=dict)
    cursors: dict[str, _Cursor] = field(default_factory=dict)
    now_ms: int = 0

    def take(self, record: LogRecord, event: Event | None) -> None:
        """Take one record."""
        self.now_ms = max(self.now_ms, record.time_ms)
        if record.topic == CONTROL:
            self._control(record)
        elif event is not None:
            self._event(record, event)

    def _bundle(self, record: LogRecord) -> Bundle:
        return in_force(self.bundles or {0: self.first}, record.time_ms)

    def _control(self, record: LogRecord) -> None:
        control = control_of(record)
        kind = None if control is None else control.WhichOneof("kind")
        if control is not None and kind == "rule_bundle":
            bundle = bundle_of(control.rule_bundle)
            self.bundles.setdefault(bundle.version, bundle)
        elif kind == "tick" and self.bundles:
            self._tick(self._bundle(record))

    def _event(self, record: LogRecord, event: Event) -> None:
        entity_key, matter_id = event.entity_key, event.matter_id
        matters = self.slots.matters_of(entity_key)
        before = self.matters.get((entity_key, matter_id))
        slot_before = matters[matter_id].held.get(event.slot) if matter_id in matters else None
        self.slots.put(event)
        held = list(self.slots.matters_of(entity_key)[matter_id].held.values())
        after = self.matters[entity_key, matter_id] = matter_of(matter_id, held)
        bundle = self._bundle(record)
        scheme = entity_key.partition(":")[0]
        if scheme not in self.cursors:
            now_day = civil_day(entity_key, self.now_ms)
            self.cursors[scheme] = _Cursor(now_day, bundle.waits())
        arm_before = slot_before.arm if slot_before is not None and slot_before.stands else ""
        types = {f"{event.family}.{arm}" for arm in (event.arm or arm_before, arm_before) if arm}
        rules = bundle.triggered_by(*types)
        if rules:
            change = _change(event, slot_before, before, after)
            self._look(rules, entity_key, change)

    def _tick(self, bundle: Bundle) -> None:
        for scheme in schemes():
            cursor = self.cursors.get(scheme)
            today = civil_day(f"{scheme}:", self.now_ms)
            if cursor is None:
                continue
            waits = bundle.waits()
            added = waits.keys() - cursor.waits.keys()
            if added:
                back = min(max(waits[wait] for wait in added), GO_BACK_DAYS_MAX)
                cursor.day_done = min(cursor.day_done, today - back - 1)
            cursor.waits = waits
            for day in range(cursor.day_done + 1, today + 1):
                self._dates(bundle, scheme, day)
            cursor.day_done = max(cursor.day_done, today)

    def _dates(self, bundle: Bundle, scheme: str, day: int) -> None:
        """Look at every matter one of whose dates is waited for on a day."""
        due = sorted({wait for rule in bundle.rules if rule.judges for wait in rule.due})
        for anchor, offset in due:
            for (entity_key, matter_id), matter in sorted(self.matters.items()):
                if entity_key.startswith(f"{scheme}:") and (anchor, day - offset) in anchors_of(
                    matter
                ):
                    change = Change(matter_id, (day,), standing=True, is_date=True)
                    self._look(bundle.waiting_for(anchor), entity_key, change)

    def _look(self, rules: list[Rule], entity_key: str, change: Change) -> None:
        picture = self._picture(entity_key)
        threads = self.threads.setdefault(entity_key, {})
        now_day = civil_day(entity_key, self.now_ms)
        for rule in rules:
            for subject in subjects(rule, picture, change):
                look = Look(rule, picture, change, subject, now_day)
                for thread in list(look.threads(threads)):
                    threads[thread.rule_id, thread.episode] = thread

    def _picture(self, entity_key: str) -> Picture:
        slots = self.slots.matters_of(entity_key)
        summed = [event for held in slots.values() for event in held.summed.values()]
        matters = [self.matters[entity_key, matter_id] for matter_id in slots]
        return assembled(entity_key, [held for held in matters if held is not None], summed)


def _change(
    event: Event, slot_before: Event | None, before: Matter | None, after: Matter | None
) -> Change:
    facts = [held for held in (slot_before, event) if held is not None and held.stands]
    days = {civil_day(fact.entity_key, fact.time_ms) for fact in facts}
    type_before = "" if before is None or before.licence is None else before.licence.licence_type
    licence = None if after is None else after.licence
    if licence is not None and licence.licence_type != type_before:
        # No day bounds what a licence of another type means.
        for matter in (before, after):
            days |= set() if matter is None else {fact.day for fact in matter.facts}
    return Change(
        matter_id=event.matter_id,
        days=tuple(sorted(days)),
        standing=event.family == STANDING_FAMILY,
        licence_type_before=type_before,
    )


def replay(history: History, first: Bundle) -> Mapping[str, Threads]:
    """Return entity → threads after the whole log."""
    partitions: dict[int, _Partition] = {}
    for record, event in history.steps:
        if record.partition not in partitions:
            partitions[record.partition] = _Partition(first)
        partitions[record.partition].take(record, event)
    return {
        entity_key: threads
        for partition in partitions.values()
        for entity_key, threads in partition.threads.items()
        if threads
    }
