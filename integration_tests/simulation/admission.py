"""What has to become of each record of the event topics, told from the log alone."""

from collections import Counter as Multiset
from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from services.contracts.families import Family
from services.intake.decoding import PAYLOAD_HASH_HEADER
from services.streaming.interface import SourceRecord

APPLIED, DUPLICATE, SUPERSEDED, DEAD = "applied", "duplicates", "superseded", "dead_lettered"

_Slot = tuple[bytes, str, str, str]
"""Entity key, matter, source system, source record: what versions compete in."""


def expected_counts(records: Iterable[SourceRecord], family: Family) -> Mapping[str, int]:
    """Count the fates of one topic's records, in offset order.

    The highest version holds; the first of two contents under one version; what cannot be read, and
    another content under a version that is there, is dead.
    """
    held: dict[_Slot, tuple[int, bytes | None]] = {}
    counts: Multiset[str] = Multiset()
    for record in records:
        try:
            envelope = family.parse(record.value or b"").envelope
        except DecodeError:
            counts[DEAD] += 1
            continue
        system, name = envelope.source_system, envelope.source_record_id
        slot = (record.key or b"", envelope.matter_id, system, name)
        new = envelope.source_version, dict(record.headers).get(PAYLOAD_HASH_HEADER)
        old = held.get(slot)
        if old is None or new[0] > old[0]:
            held[slot] = new
            counts[APPLIED] += 1
        elif new[0] < old[0]:
            counts[SUPERSEDED] += 1
        else:
            counts[DUPLICATE if new == old else DEAD] += 1
    return counts
