"""O3, O4: what was made of an entity stands in the partition of its events, and only there.

A record elsewhere belongs to nobody: the partition's owner never reads it again, and compaction
keeps it beside the right one for ever.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from market_supervision.alerts.v1.alert_pb2 import AlertRecord

from integration_tests.judge.admission import Event
from integration_tests.judge.raw_log import ALERTS, LINKS, STATE, TIMELINE, LogRecord, RawLog
from integration_tests.judge.verdict import Verdict

Homes = Mapping[str, AbstractSet[int]]
"""Entity → partitions in which its events stand: one, or the intakes do not agree."""


def homes_of(events: Iterable[Event]) -> Homes:
    """Return where the events of each entity stand."""
    homes: dict[str, set[int]] = {}
    for event in events:
        homes.setdefault(event.entity_key, set()).add(event.record.partition)
    return homes


def check_placement(log: RawLog, homes: Homes, verdict: Verdict) -> None:
    """O3, O4: every record that was ever written of an entity is where its events are."""
    for entity_key, partitions in homes.items():
        if len(partitions) > 1:
            found = sorted(partitions)
            verdict.add("O3", "events of one entity in several partitions", of=entity_key, at=found)
    for check, record, entity_key in _entities(log):
        home = homes.get(entity_key)  # None: of nothing on the log, which other checks report
        if home is not None and record.partition not in home:
            about = {"topic": record.topic, "key": record.key, "events": sorted(home)}
            text = "a record in another partition than its events"
            verdict.add(check, text, partition=record.partition, offset=record.offset, **about)


def _entities(log: RawLog) -> Iterator[tuple[str, LogRecord, str]]:
    """Yield check, record and entity of all that is written of entities."""
    for topic in (STATE, TIMELINE, LINKS):
        for record in log.records[topic]:
            if record.key is not None and not record.key.startswith((b"\x00", b"!")):
                entity_key = record.key.decode(errors="replace").partition("|")[0]
                yield "O4" if b"|a|" in record.key else "O3", record, entity_key
    for record in log.records[ALERTS]:
        yield "O4", record, AlertRecord.FromString(record.value or b"").alert.entity_key
