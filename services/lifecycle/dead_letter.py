"""Records that could not be folded, with their bytes, the reason and where they came from. Pure."""

from services.streaming.interface import Headers, SideRecord, SourceRecord

LETTER_BYTES_MAX = 1_500_000
"""Largest value of a dead letter; a larger one is cut. A source record is at most 1 MiB, but a
batch that another producer compressed may hold more."""
HEADERS_BYTES_MAX = 128 * 1024
"""Headers and key of the source record that are carried along, in bytes each."""
REASON_CHARACTERS_MAX = 2_000


def dead_letter(topic: str, record: SourceRecord, reason: str, en: str, zh: str) -> SideRecord:
    """The dead letter of a record: key, value and headers as they were, and why it is here.

    What is too large for one record is cut, and the header `dlq-truncated` tells the length that
    the value had; the whole of it stays where `dlq-topic`, `dlq-partition`, `dlq-offset` say.
    """
    value = record.value or b""
    key = record.key
    headers = [
        *_carried(record),
        ("dlq-reason", reason.encode()),
        ("dlq-reason-en", _text(en)),
        ("dlq-reason-zh", _text(zh)),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", str(record.partition).encode()),
        ("dlq-offset", str(record.offset).encode()),
        ("dlq-had-value", b"0" if record.value is None else b"1"),
    ]
    if len(value) > LETTER_BYTES_MAX:
        headers.append(("dlq-truncated", str(len(value)).encode()))
        value = value[:LETTER_BYTES_MAX]
    if key is not None and len(key) > HEADERS_BYTES_MAX:
        headers.append(("dlq-key-truncated", str(len(key)).encode()))
        key = key[:HEADERS_BYTES_MAX]
    return SideRecord(topic, key, value, tuple(headers))


def place_of(letter: SideRecord) -> bytes:
    """Return topic, partition and offset of the record a dead letter is of.

    The last header of a name counts: a record that was a dead letter once carries earlier ones.
    """
    headers = dict(letter.headers)
    return b"|".join(headers.get(f"dlq-{name}", b"") for name in ("topic", "partition", "offset"))


def _carried(record: SourceRecord) -> Headers:
    """The source record's headers, a missing value as an empty one, as far as they fit."""
    carried: list[tuple[str, bytes]] = []
    size = 0
    for name, value in record.headers:
        size += len(name.encode()) + len(value or b"")
        if size > HEADERS_BYTES_MAX:
            return (*carried, ("dlq-headers-truncated", str(len(record.headers)).encode()))
        carried.append((name, value or b""))
    return tuple(carried)


def _text(sentence: str) -> bytes:
    return sentence[:REASON_CHARACTERS_MAX].encode(errors="replace")
