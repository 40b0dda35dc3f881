"""What must hold of a world that came to rest. Every broken promise is one line of text."""

from collections import Counter as Multiset
from collections.abc import Callable, Iterator, Mapping

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.alerts.v1.alert_pb2 import AlertRecord
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.simulation.admission import (
    APPLIED,
    DEAD,
    DUPLICATE,
    SUPERSEDED,
    expected_counts,
)
from integration_tests.simulation.broker import CHANGELOG, ENGINE_TOPICS, PARTITIONS
from integration_tests.simulation.replay import Replayed, in_merge_order, replay
from integration_tests.simulation.shuffle import other_interleaving
from integration_tests.simulation.store import LocalStore
from integration_tests.simulation.worker import make_step
from integration_tests.simulation.world import BUNDLE_KEY, World
from services.contracts import state_keys
from services.contracts.state_keys import StateKind
from services.lifecycle.digest import digest_records
from services.lifecycle.tests.fold_rig import day_of
from services.lifecycle.tests.step_rig import TOPICS
from services.readmodel import record
from services.readmodel.keys import Keys
from services.streaming.meta import META_KEY


def broken_promises(world: World) -> list[str]:
    """Return what does not hold of a world after `World.run`; an empty list when all is well."""
    found: list[str] = []
    for number in range(PARTITIONS):
        logs = {topic: log.records for topic, log in world.broker.sources(number).items()}
        once = replay(in_merge_order(logs, lambda record: record.append_time_ms))
        for check in _PARTITION_CHECKS:
            found += [f"partition {number}: {line}" for line in check(world, number, once)]
    for check_readers in (_alerts_were_seen_once, _read_model_is_the_state):
        found += check_readers(world)
    return found


def _state_of(world: World, number: int) -> dict[bytes, bytes]:
    """The newest record of each key of the changelog, without the engine's own."""
    records = world.broker.log(CHANGELOG, number).records
    return {r.key: r.value or b"" for r in records if r.key and r.key != META_KEY}


def _equals_one_fold(world: World, number: int, once: Replayed) -> Iterator[str]:
    """State and every record written are what one fold of the same logs writes, byte by byte."""
    state = _state_of(world, number)
    for key in sorted(state.keys() | once.state.keys()):
        if state.get(key) != once.state.get(key):
            yield f"state {key!r} differs from a fold in one go"
    for topic in (*ENGINE_TOPICS.side, ENGINE_TOPICS.timeline):
        written = [
            (r.key, r.value, r.headers)
            for r in world.broker.log(topic, number).records
            if r.key != META_KEY
        ]
        expected = [(r.key, r.value, r.headers) for r in once.on(topic)]
        if written != expected:
            yield f"{topic}: {len(written)} records, a fold in one go writes {len(expected)} others"


def _equals_a_fold_of_the_compacted_record(
    world: World, number: int, once: Replayed
) -> Iterator[str]:
    """What compaction leaves of the ticks fires when the live run did."""
    if number != world.seed % PARTITIONS:
        return  # one partition of each world is enough
    logs = {topic: log.records for topic, log in world.broker.sources(number).items()}
    control = logs[TOPICS.control]
    newest = {record.key: record.offset for record in control if record.key != BUNDLE_KEY}
    kept = [r for r in control if r.offset == newest.get(r.key, r.offset)]
    compacted = {**logs, TOPICS.control: kept}
    again = replay(in_merge_order(compacted, lambda record: record.append_time_ms))
    if once.on(TOPICS.alerts) != again.on(TOPICS.alerts):
        yield "a fold of the compacted record raises other alerts"


def _equals_other_interleaving(world: World, number: int, once: Replayed) -> Iterator[str]:
    """Topics delayed against each other give the same view and the same open threads.

    But for threads that were ever resolved, or over when they were first found: whether a rule's
    `resolved_when` holds is asked as of the moment at which an event is judged, so an event that
    comes after the replacing licence has lapsed opens the thread, and one that comes before does
    not.
    """
    if world.bundles > 1 or not world.patient:
        return  # which rules judge a record, and how old it is then, follows from when it came
    other = replay(other_interleaving(world, number))
    mine, others = _view(once.state), _view(other.state)
    for entity in sorted(mine.keys() | others.keys()):
        if mine.get(entity) != others.get(entity):
            yield f"{entity} differs in another interleaving"
    reopenable = _once_resolved(once) | _once_resolved(other)
    reopenable |= once.over_when_found | other.over_when_found
    for alert in sorted(_open_alerts(once.state) ^ _open_alerts(other.state)):
        if alert not in reopenable:
            yield f"alert {alert} is open in one interleaving only"


def _recovery_gives_the_local_keys(world: World, number: int, once: Replayed) -> Iterator[str]:
    """A store read from a compacted changelog holds what the live ones derived on the way."""
    recovered, step = LocalStore(), make_step()
    changelog = world.broker.log(CHANGELOG, number)
    recovered.restore(changelog, step.local_index, compacted=True)
    if recovered.contents != once.store.contents:
        keys = dict(recovered.contents.items() ^ once.store.contents.items())
        yield f"a recovered store differs in {sorted(keys)[:3]}"


def _every_record_is_accounted_for(world: World, number: int, _once: Replayed) -> Iterator[str]:
    """Applied, duplicates, superseded and dead-lettered make up what is on the log."""
    state = _state_of(world, number)
    letters = Multiset(
        dict(r.headers)["dlq-topic"].decode()  # type: ignore[union-attr]
        for r in world.broker.log(TOPICS.dead_letter, number).records
    )
    for topic, log in world.broker.sources(number).items():
        counts = state_pb2.RecordCounts.FromString(state.get(f"!counts|{topic}".encode(), b""))
        told = counts.applied + counts.duplicates + counts.superseded + counts.dead_lettered
        if told != len(log.records):
            yield f"{topic}: {len(log.records)} records, {told} accounted for"
        if topic in TOPICS.families:
            expected = expected_counts(log.records, TOPICS.families[topic])
            for fate in (APPLIED, DUPLICATE, SUPERSEDED, DEAD):
                if getattr(counts, fate) != expected[fate]:
                    yield f"{topic}: {getattr(counts, fate)} {fate}, {expected[fate]} expected"
        if counts.dead_lettered != letters[topic]:
            yield f"{topic}: {counts.dead_lettered} dead letters counted, {letters[topic]} there"


def _alert_events_are_unique(world: World, number: int, _once: Replayed) -> Iterator[str]:
    """No id of an alert record stands twice; a thread's revisions count up from one."""
    revisions: Multiset[str] = Multiset()
    ids: set[str] = set()
    for each in _alert_records(world, number):
        if each.alert_event_id in ids:
            yield f"alert event {each.alert_event_id} stands twice"
        ids.add(each.alert_event_id)
        revisions[each.alert.alert_id] += 1
        if each.alert.revision != revisions[each.alert.alert_id]:
            yield f"alert {each.alert.alert_id} jumps to revision {each.alert.revision}"


def _entities_count_their_open_alerts(world: World, number: int, _once: Replayed) -> Iterator[str]:
    """The total of open alerts in an entity's state is the number of its open threads."""
    state = _state_of(world, number)
    counted = Multiset(entity for _rule, entity, _episode in _open_alerts(state))
    for key, value in state.items():
        parsed = state_keys.parse(key)
        if parsed is not None and parsed.kind is StateKind.ENTITY:
            told = _take_open_alerts_total(state_pb2.EntityState.FromString(value))
            if told != counted[parsed.entity_key]:
                yield f"{parsed.entity_key} tells of {told} open alerts, not {counted}"


def _nothing_fires_before_its_time(world: World, number: int, _once: Replayed) -> Iterator[str]:
    """A date fires once a thread, when its day has come; no alert is about a day to come."""
    fired: set[tuple[str, str]] = set()
    for each in _alert_records(world, number):
        today = day_of(each.alert.update_time.ToMilliseconds())
        due = each.cause.due_key
        if due and int(due.rpartition("|")[2]) > today:
            yield f"{due} fired on day {today}"
        if due and each.transition == alert_pb2.ALERT_TRANSITION_RAISED:
            if (each.alert.alert_id, due) in fired:
                yield f"{due} fired twice for {each.alert.alert_id}"
            fired.add((each.alert.alert_id, due))


def _alerts_were_seen_once(world: World) -> Iterator[str]:
    """Each subscriber has every alert record once, in the order of its partition."""
    for number, subscriber in enumerate(world.subscribers):
        for partition in range(PARTITIONS):
            written = [r.offset for r in world.broker.log(TOPICS.alerts, partition).records]
            seen = [item.offset for item in subscriber.seen if item.partition == partition]
            if seen != written:
                yield f"subscriber {number} saw {seen} of partition {partition}, not {written}"


def _read_model_is_the_state(world: World) -> Iterator[str]:
    """Entities, threads and links in the read model are the newest committed ones."""
    keys = Keys("simulated")
    held = {key: record.message_of(value) for key, value in world.projection.records.items()}
    expected: dict[str, bytes] = {}
    for number in range(PARTITIONS):
        for key, value in _state_of(world, number).items():
            parsed = state_keys.parse(key)
            if parsed is not None and parsed.kind is StateKind.ENTITY:
                expected[keys.entity(parsed.entity_key)] = value
            elif parsed is not None and parsed.kind is StateKind.ALERT:
                expected[keys.alert(parsed.part)] = value
        for r in world.broker.log(TOPICS.links, number).records:
            expected[keys.link((r.key or b"").decode())] = r.value or b""
    for name in sorted(held.keys() | expected.keys()):
        if held.get(name) != expected.get(name):
            yield f"read model: {name} is not what was committed"


def _alert_records(world: World, number: int) -> Iterator[AlertRecord]:
    for r in world.broker.log(TOPICS.alerts, number).records:
        yield AlertRecord.FromString(r.value or b"")


def _view(state: Mapping[bytes, bytes]) -> dict[str, str]:
    """Digest by entity without alerts: how often one was closed depends on what came when."""
    kept = []
    for key, value in state.items():
        parsed = state_keys.parse(key)
        if parsed is not None and parsed.kind is StateKind.ENTITY:
            entity = state_pb2.EntityState.FromString(value)
            entity.ClearField("open_alerts")
            _take_open_alerts_total(entity)
            kept.append((key, entity.SerializeToString(deterministic=True)))
        elif parsed is not None and parsed.kind is not StateKind.ALERT:
            kept.append((key, value))
    return digest_records(kept).entities


def _take_open_alerts_total(entity: state_pb2.EntityState) -> int:
    for total in entity.totals:
        if total.counter == state_pb2.COUNTER_OPEN_ALERTS:
            entity.totals.remove(total)
            return total.sum
    return 0


def _once_resolved(run: Replayed) -> set[tuple[str, str, str]]:
    """Rule, entity and episode of every thread that was closed as resolved at some time."""
    records = [AlertRecord.FromString(r.value) for r in run.on(TOPICS.alerts)]
    return {
        _name_of(each.alert)
        for each in records
        if each.alert.outcome == alert_pb2.ALERT_OUTCOME_RESOLVED
    }


def _name_of(alert: alert_pb2.Alert) -> tuple[str, str, str]:
    return alert.rule.rule_id, alert.entity_key, alert.episode_key


def _open_alerts(state: Mapping[bytes, bytes]) -> set[tuple[str, str, str]]:
    """Rule, entity and episode of every open thread."""
    found = set()
    for key, value in state.items():
        parsed = state_keys.parse(key)
        if parsed is not None and parsed.kind is StateKind.ALERT:
            alert = state_pb2.AlertThread.FromString(value).alert
            if alert.state == alert_pb2.ALERT_STATE_OPEN:
                found.add(_name_of(alert))
    return found


_PARTITION_CHECKS: tuple[Callable[[World, int, Replayed], Iterator[str]], ...] = (
    _equals_one_fold,
    _equals_a_fold_of_the_compacted_record,
    _equals_other_interleaving,
    _recovery_gives_the_local_keys,
    _every_record_is_accounted_for,
    _alert_events_are_unique,
    _entities_count_their_open_alerts,
    _nothing_fires_before_its_time,
)
