"""The business step of one partition: records in, state, timeline, alerts and dead letters out.

Pure: time comes with the records (their append time), state with the store. The engine commits what
is returned in one transaction, or nothing of it.
"""

from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from market_supervision.alerts.v1.alert_pb2 import Cause
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED
from market_supervision.control.v1.control_pb2 import ControlRecord, Tick
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts.families import Family
from services.lifecycle import due_dates
from services.lifecycle.alert_threads import write_threads
from services.lifecycle.bundle_history import HISTORY_KEY, BundleHistory
from services.lifecycle.dead_letter import dead_letter
from services.lifecycle.decoding import DecodedEvent, decode
from services.lifecycle.entity_view import WorkingView
from services.lifecycle.fold import Folded, fold_event
from services.lifecycle.folding.encoding import encoded
from services.lifecycle.folding.facts import InvalidEventError
from services.lifecycle.folding.slots import Verdict
from services.lifecycle.local_index import LocalIndex, ZoneOf
from services.lifecycle.rules.errors import BundleError
from services.lifecycle.rules.evaluation import evaluate
from services.lifecycle.subject import Subject, days_touched, subject_of
from services.lifecycle.timeline import timeline_record
from services.lifecycle.view import Change
from services.lifecycle.working_set import WorkingSet
from services.streaming.interface import ReadStore, SideRecord, SourceRecord, UnitOutput

_HOUR_MS = 3_600_000
FIRING_TICK = b"tick|"
"""Key prefix of ticks that fire the dates that have come; each has a key of its own."""
IDLE_TICK = b"idle-tick|"
"""Key prefix of ticks that fire nothing, whatever the clocks say: compaction may remove them."""


@dataclass(frozen=True, slots=True)
class StepTopics:
    """Full names of the topics the step knows."""

    families: Mapping[str, Family]
    """Event topic → family."""
    control: str
    timeline: str
    alerts: str
    dead_letter: str
    links: str


class LifecycleStep:
    """Implements `streaming.interface.PartitionStep`."""

    def __init__(self, topics: StepTopics, zone_of: ZoneOf, schemes: Sequence[str]) -> None:
        self._topics = topics
        self._zone_of = zone_of
        self._schemes = tuple(schemes)
        self._bundles = BundleHistory()
        self._index = LocalIndex(zone_of)
        self._working: WorkingSet | None = None

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold ``records``; a tick with more dates than fit a unit is taken when all are done."""
        working = self._attach(store)
        side: list[SideRecord] = []
        taken = 0
        for record in records:
            stream_time_ms = max(stream_time_ms, record.append_time_ms)
            if record.topic != self._topics.control:
                side.extend(self._event(working, record, stream_time_ms))
            elif not self._control(working, record, stream_time_ms, side):
                break
            taken += 1
        changelog, local = working.flush()
        return UnitOutput(changelog=changelog, side=side, taken=taken, local=local)

    def refuse(self, record: SourceRecord, deaths: int, store: ReadStore) -> UnitOutput:
        """Put a record aside on which processes die, unread; it is counted as dead-lettered."""
        working = self._attach(store)
        self._count(working, record.topic).dead_lettered += 1
        en = f"{deaths} processes ended while they tried to fold this record"
        zh = f"处理该记录时进程连续{deaths}次异常终止"
        letter = dead_letter(self._topics.dead_letter, record, "PROCESS_KILLED", en, zh)
        changelog, local = working.flush()
        return UnitOutput(changelog=changelog, side=[letter], local=local)

    def local_index(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Sequence[tuple[bytes, bytes | None]]:
        """Local-only keys that follow from a changelog record."""
        return list(self._index.changes(key, old, new))

    def holds(self, store: ReadStore) -> bool:
        """No bundle of rules, no processing."""
        return store.get(HISTORY_KEY) is None

    def tick(
        self, stream_time_ms: int, wall_ms: int, store: ReadStore
    ) -> tuple[bytes, bytes] | None:
        """A tick an interval: one that fires where dates may have come, else a mere sign of life.

        The one that fires has a key of its own, so that a compacted topic keeps it for ever, and a
        replay fires when the live run did. The other one does nothing to any alert; of those the
        topic keeps one an hour.
        """
        if wall_ms <= stream_time_ms:
            return None
        written = Timestamp()
        written.FromMilliseconds(wall_ms)
        record = ControlRecord(tick=Tick(written_time=written))
        # Never through the working set of the units: what the last one wrote is not in the store
        # yet, so a record it let go of would be read, and kept, as it was before.
        if self._has_dates_to_fire(WorkingSet(store), wall_ms):
            key = b"%s%d" % (FIRING_TICK, wall_ms)
        else:
            key = b"%s%d" % (IDLE_TICK, wall_ms // _HOUR_MS)
        return key, record.SerializeToString(deterministic=True)

    def _has_dates_to_fire(self, working: WorkingSet, now_ms: int) -> bool:
        bundle = self._bundles.in_force(working, now_ms)
        return any(
            due_dates.is_due(working, scheme, self._zone_of(f"{scheme}:")(now_ms), bundle.waits)
            for scheme in self._schemes
        )

    def _attach(self, store: ReadStore) -> WorkingSet:
        if self._working is None:
            self._working = WorkingSet(store)
        self._working.store = store
        return self._working

    def _count(self, working: WorkingSet, topic: str) -> state_pb2.RecordCounts:
        return working.change(f"!counts|{topic}".encode(), state_pb2.RecordCounts)

    def _event(self, working: WorkingSet, record: SourceRecord, now_ms: int) -> list[SideRecord]:
        counts = self._count(working, record.topic)
        try:
            decoded = decode(record, self._topics.families[record.topic])
            day_of = self._zone_of(decoded.entity_key)
            subject = subject_of(working, decoded, day_of)
            folded = fold_event(working, decoded, record.offset, day_of)
        except InvalidEventError as error:
            counts.dead_lettered += 1
            topic = self._topics.dead_letter
            return [dead_letter(topic, record, error.reason, error.en, error.zh)]
        if folded.verdict is Verdict.DUPLICATE:
            counts.duplicates += 1
            return []
        if folded.verdict is Verdict.SUPERSEDED:
            counts.superseded += 1
            return []
        counts.applied += 1
        side = [timeline_record(self._topics.timeline, decoded)]
        if folded.link_changed:
            side.append(self._link(working, decoded))
        side.extend(self._judge_event(working, record, decoded, subject, folded, now_ms))
        return side

    def _link(self, working: WorkingSet, decoded: DecodedEvent) -> SideRecord:
        envelope = decoded.envelope
        link = state_pb2.LinkRecord(
            from_key=decoded.entity_key,
            to_key=working.entity(decoded.entity_key).linked_to,
            event_time=envelope.event_time,
            event_id=envelope.event_id,
        )
        return SideRecord(self._topics.links, decoded.entity_key.encode(), encoded(link))

    def _judge_event(
        self,
        working: WorkingSet,
        record: SourceRecord,
        decoded: DecodedEvent,
        subject: Subject,
        folded: Folded,
        now_ms: int,
    ) -> list[SideRecord]:
        day_of = self._zone_of(decoded.entity_key)
        view = WorkingView(working, decoded.entity_key, day_of, now_ms)
        scheme = decoded.entity_key.partition(":")[0]
        bundle = self._bundles.in_force(working, record.append_time_ms)
        due_dates.ensure_cursor(working, scheme, view.now_day, bundle.waits)
        rules = bundle.triggered_by_any(subject.event_type, subject.event_type_before)
        if not rules:
            return []
        matter = view.matter(decoded.matter_id)
        change = Change(
            cause=Cause(event_id=decoded.envelope.event_id),
            event_type=subject.event_type,
            event_type_before=subject.event_type_before,
            matter_id=decoded.matter_id,
            licence_type_before=subject.licence_type,
            days=days_touched(folded, subject, matter),
            withdrawn=decoded.envelope.disposition != DISPOSITION_ASSERTED,
            standing=folded.standing,
        )
        suppressed: Multiset[str] = Multiset()
        failed: Multiset[str] = Multiset()
        changes = evaluate(bundle, view, change, suppressed, failed)
        _count_by_rule(working, suppressed, failed)
        return write_threads(working, self._topics.alerts, decoded.entity_key, changes)

    def _control(
        self, working: WorkingSet, record: SourceRecord, now_ms: int, side: list[SideRecord]
    ) -> bool:
        """Act on a control record; False while a tick has more to do than fits this unit."""
        counts = self._count(working, record.topic)
        try:
            control = ControlRecord.FromString(record.value or b"")
            kind = control.WhichOneof("kind")
        except DecodeError:
            kind = None
        if kind == "rule_bundle":
            try:
                self._bundles.add(working, control.rule_bundle)
            except BundleError as error:
                counts.dead_lettered += 1
                zh = "规则包无法使用,沿用此前的规则包"
                letter = (self._topics.dead_letter, record, "BUNDLE_INVALID", str(error), zh)
                side.append(dead_letter(*letter))
                return True
        elif kind == "tick":
            idle = (record.key or b"").startswith(IDLE_TICK)
            if not idle and not self._tick(working, record, now_ms, side):
                return False
        else:
            counts.dead_lettered += 1
            en, zh = "not a control record", "无法解析为控制记录"
            side.append(dead_letter(self._topics.dead_letter, record, "NOT_CONTROL", en, zh))
            return True
        counts.applied += 1
        return True

    def _tick(
        self, working: WorkingSet, record: SourceRecord, now_ms: int, side: list[SideRecord]
    ) -> bool:
        if self.holds(working.store):
            return True
        bundle = self._bundles.in_force(working, record.append_time_ms)
        budget = due_dates.FIRED_MAX
        for scheme in self._schemes:
            day_of = self._zone_of(f"{scheme}:")
            today = day_of(now_ms)
            due_dates.take_over(working, scheme, today, bundle.waits)
            if due_dates.is_done(working, scheme, today):
                continue
            fired = list(due_dates.fire(working, scheme, today, bundle.due, budget))
            budget -= len(fired)
            for due in fired:
                change = Change(
                    cause=Cause(due_key=due.due_key),
                    event_type=f"due.{due.anchor}",
                    matter_id=due.matter_id,
                    days=(due.due_day,),
                    withdrawn=False,
                    standing=True,
                )
                view = WorkingView(working, due.entity_key, day_of, now_ms)
                failed: Multiset[str] = Multiset()
                changes = evaluate(bundle, view, change, failed=failed)
                _count_by_rule(working, Multiset(), failed)
                side.extend(write_threads(working, self._topics.alerts, due.entity_key, changes))
            if not due_dates.is_done(working, scheme, today):
                return False
        return True


def _count_by_rule(working: WorkingSet, suppressed: Multiset[str], failed: Multiset[str]) -> None:
    if not suppressed and not failed:
        return
    counts = working.change(b"!suppressed", state_pb2.SuppressedCounts)
    held = {row.rule_id: row for row in counts.rules}
    for rule_id in sorted(suppressed.keys() | failed.keys()):
        row = held.get(rule_id) or counts.rules.add(rule_id=rule_id)
        row.changes += suppressed[rule_id]
        row.failed += failed[rule_id]
    counts.rules.sort(key=lambda row: row.rule_id)
