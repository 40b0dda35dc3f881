"""Records that could not be folded, with their bytes, the reason and where they came from. Pure."""

from services.streaming.interface import SideRecord, SourceRecord

HEADER_PREFIX = "dlq-"


def dead_letter(topic: str, record: SourceRecord, reason: str, en: str, zh: str) -> SideRecord:
    """The dead letter of a record: key, value and headers as they were, and why it is here."""
    headers = (
        *record.headers,
        ("dlq-reason", reason.encode()),
        ("dlq-reason-en", en.encode()),
        ("dlq-reason-zh", zh.encode()),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", str(record.partition).encode()),
        ("dlq-offset", str(record.offset).encode()),
        ("dlq-had-value", b"0" if record.value is None else b"1"),
    )
    return SideRecord(topic, record.key, record.value or b"", headers)
