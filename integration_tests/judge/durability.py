"""O1 and O2: what was acknowledged is on the log, and nothing else is."""

from collections import Counter as Multiset

from integration_tests.judge.admission import family_of, parsed
from integration_tests.judge.history import FAIL, INFO, OK, Operation, Slot
from integration_tests.judge.raw_log import EVENT_TOPICS, LogRecord, RawLog
from integration_tests.judge.verdict import Verdict

DISPOSITION_MOVED = 3


def check_acknowledged(operations: list[Operation], log: RawLog, verdict: Verdict) -> None:
    """O1: every receipt names a record that is on the log, where and as it says."""
    for operation in operations:
        if operation.kind != OK:
            continue
        verdict.count("acknowledged")
        if operation.place is None:
            verdict.add("O1", "acknowledged without a receipt", operation=operation)
            continue
        topic, partition, offset = operation.place
        record = log.at(log.short(topic), partition, offset)
        if record is None:
            if not operation.slot.source_system and log.short(topic) not in EVENT_TOPICS:
                continue  # a test put a record on a topic that no client writes
            verdict.count("lost")
            verdict.add("O1", "acknowledged, but not on the log", operation=operation)
        elif operation.slot.source_system and not _is_of(record, operation):
            verdict.count("lost")
            verdict.add("O1", "the receipt names another record", operation=operation)
    verdict.made("O1")


def _is_of(record: LogRecord, operation: Operation) -> bool:
    message = parsed(record)
    if message is None:
        return False
    told = (record.header("payload-hash") or b"").decode(errors="replace")
    return (
        _slot_of(record) == operation.slot
        and message.envelope.event_id == operation.event_id
        and told == operation.payload_hash
    )


def check_nothing_else(operations: list[Operation], log: RawLog, verdict: Verdict) -> None:
    """O2: every record was sent by somebody, and nothing refused is there."""
    kinds: dict[Slot, set[str]] = {}
    for operation in operations:
        kinds.setdefault(operation.slot, set()).add(operation.kind)
    records_sent = {operation.slot[:3] for operation in operations}
    named = [operation.place for operation in operations if operation.place is not None]
    receipts = {(log.short(place.topic), *place[1:]) for place in named}
    versions: Multiset[tuple[object, ...]] = Multiset()
    for record in log.events:
        verdict.count("events")
        slot = _slot_of(record)
        if slot is not None:
            versions[record.partition, record.key, slot] += 1
        if (record.topic, record.partition, record.offset) in receipts:
            continue
        # Intakes write MOVED when a correction names another entity or matter.
        if slot is not None and slot[:3] in records_sent and _is_moved(record):
            continue
        outcomes = set() if slot is None else kinds.get(slot, set())
        if not outcomes:
            verdict.add("O2", "a record that nobody sent", slot=slot, record=record[:4])
        elif outcomes == {FAIL}:
            verdict.add("O2", "an event that was refused", slot=slot, record=record[:4])
    verdict.count("written_again", sum(number - 1 for number in versions.values()))
    for kind, name in ((INFO, "unknown"), (FAIL, "refused")):
        verdict.count(name, sum(operation.kind == kind for operation in operations))
    verdict.made("O2")


def _slot_of(record: LogRecord) -> Slot | None:
    message = parsed(record)
    if message is None or not message.envelope.source_system:
        return None
    envelope = message.envelope
    return Slot(
        family_of(record.topic),
        envelope.source_system,
        envelope.source_record_id,
        envelope.source_version,
    )


def _is_moved(record: LogRecord) -> bool:
    message = parsed(record)
    return message is not None and message.envelope.disposition == DISPOSITION_MOVED
