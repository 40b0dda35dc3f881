"""Records of the state in canonical form, and their digests. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message
from market_supervision.lifecycle.v1 import state_pb2

from integration_tests.judge.raw_log import STATE, RawLog

MESSAGES: Mapping[str, type[Any]] = MappingProxyType(
    {
        "e": state_pb2.EntityState,
        "t": state_pb2.MatterState,
        "s": state_pb2.SlotStub,
        "m": state_pb2.MonthBucket,
        "y": state_pb2.YearBucket,
        "a": state_pb2.AlertThread,
    }
)
"""Letter in a key of the state topic → what the record is."""


def digests(log: RawLog) -> dict[int, str]:
    """Return partition → digest of its committed view, without what differs between equal runs."""
    by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
    for (partition, key), record in log.latest(STATE).items():
        letter = key.decode().split("|")[1]
        message = MESSAGES[letter].FromString(record.value or b"")
        data = bytes_of(CANONICAL[letter](message) if letter in CANONICAL else message)
        if data:
            by_partition.setdefault(partition, []).append((key, data))
    return {partition: digest_of(records) for partition, records in sorted(by_partition.items())}


def _without_offsets(matter: state_pb2.MatterState) -> state_pb2.MatterState:
    for slot in matter.slots:
        slot.ClearField("origin_offset")
    return matter


def _without_offset(stub: state_pb2.SlotStub) -> state_pb2.SlotStub:
    stub.ClearField("origin_offset")
    return stub


def _without_times(thread: state_pb2.AlertThread) -> state_pb2.AlertThread:
    for name in (
        "raised_time",
        "update_time",
        "acknowledge_due_date",
        "acknowledge_due_date_provisional",
    ):
        thread.alert.ClearField(name)
    return thread


CANONICAL: Mapping[str, Callable[[Any], Message]] = MappingProxyType(
    {"t": _without_offsets, "s": _without_offset, "a": _without_times}
)
"""Letter → the record without offsets and append times."""


def bytes_of(message: Message) -> bytes:
    """Return a message as bytes, the same for equal messages."""
    return message.SerializeToString(deterministic=True)


def digest_of(records: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the SHA-256, hex, of records in the order of their keys."""
    digest = hashlib.sha256()
    for parts in sorted(records):
        for part in parts:
            digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()
