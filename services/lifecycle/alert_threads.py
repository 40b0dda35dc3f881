"""Writing what the rules decided: threads, open alerts, records of the topic."""

from collections.abc import Iterable

from market_supervision.alerts.v1 import alert_pb2
from market_supervision.lifecycle.v1 import state_pb2

from services.contracts import state_keys
from services.lifecycle.alerting import ThreadChange
from services.lifecycle.folding.encoding import encoded
from services.lifecycle.local_index import (
    OPEN_ALERTS,
    alert_reference,
    list_prefix,
    open_alert_order,
)
from services.lifecycle.working_set import WorkingSet
from services.streaming.interface import SideRecord

OPEN_ALERTS_MAX = 16


def write_threads(
    working: WorkingSet, topic: str, entity_key: str, changes: Iterable[ThreadChange]
) -> list[SideRecord]:
    """Write changed threads and return their records for the alerts topic."""
    records: list[SideRecord] = []
    prefix = list_prefix(entity_key, OPEN_ALERTS)
    opened = 0
    changed = False
    for change in changes:
        alert = change.thread.alert
        key = state_keys.alert_thread(entity_key, alert.alert_id)
        before = working.read(key, state_pb2.AlertThread)
        was_open = before is not None and before.alert.state == alert_pb2.ALERT_STATE_OPEN
        is_open = alert.state == alert_pb2.ALERT_STATE_OPEN
        opened += int(is_open) - int(was_open)
        working.put(key, change.thread)
        if is_open or was_open:
            reference = encoded(alert_reference(alert)) if is_open else None
            working.put_local(prefix, open_alert_order(alert), reference)
        changed = True
        if change.record is not None:
            records.append(SideRecord(topic, entity_key.encode(), encoded(change.record)))
    if changed:
        _refresh(working, entity_key, opened)
    return records


def _refresh(working: WorkingSet, entity_key: str, opened: int) -> None:
    entity = working.change(state_keys.entity_state(entity_key), state_pb2.EntityState)
    entity.entity_key = entity_key
    found = working.scan(list_prefix(entity_key, OPEN_ALERTS), limit=OPEN_ALERTS_MAX)
    references = [state_pb2.AlertReference.FromString(value) for _key, value in found]
    del entity.open_alerts[:]
    entity.open_alerts.extend(references)
    count = opened
    for total in entity.totals:
        if total.counter == state_pb2.COUNTER_OPEN_ALERTS:
            count += total.sum
            entity.totals.remove(total)
            break
    if count:
        entity.totals.add(counter=state_pb2.COUNTER_OPEN_ALERTS, sum=count)
        entity.totals.sort(key=lambda total: (total.counter, total.code))
