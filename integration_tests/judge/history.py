"""The clients' history: what was submitted, and what became of it as far as the client knows.

One JSON object a line::

    {"op": 7, "client": "load-0", "kind": "invoke", "family": "complaints",
     "source_system": "x", "source_record_id": "r7", "source_version": 1,
     "entity_key": "uscc:9144...", "time_ms": 1764000000000}
    {"op": 7, "client": "load-0", "kind": "ok", ..., "event_id": "...", "receipt": {"topic": ...,
     "partition": 3, "offset": 12, "payload_hash": "...", "entity_key": "..."}, ...}

``kind``: `invoke` before the call; then one of `ok` (a receipt came), `fail` (refused: nothing may
be on the log), `info` (unknown: it may or may not be). An invocation without an outcome counts as
`info`. ``op`` numbers the operations of one client; a retry is an operation of its own.
A record that a test puts on a topic itself, such as poison or a duplicate, is an `ok` with the
receipt's topic, partition and offset only (`HistoryWriter.injected`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from google.protobuf.json_format import MessageToDict
from market_supervision.common.v1.envelope_pb2 import EventEnvelope
from market_supervision.intake.v1.intake_pb2 import Receipt

INVOKE, OK, FAIL, INFO = "invoke", "ok", "fail", "info"
_RANK = {INVOKE: 0, INFO: 0, FAIL: 1, OK: 1}


class Slot(NamedTuple):
    """One version of one source record, as a client names it."""

    family: str
    source_system: str
    source_record_id: str
    source_version: int


class Place(NamedTuple):
    """One record of a topic; ``topic`` is its full name."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One submission with its outcome."""

    client: str
    number: int
    kind: str
    """`ok`, `fail` or `info`."""
    slot: Slot
    entity_key: str
    event_id: str
    place: Place | None
    payload_hash: str


class HistoryWriter:
    """Appends a client's history to a file, a line a write, so that a killed client lost nothing.

    Several writers may append to one file: a line is one write of an append-only file.
    """

    def __init__(self, path: Path, client: str) -> None:
        self._file = path.open("ab", buffering=0)
        self._client = client
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def invoke(self, family: str, envelope: EventEnvelope, time_ms: int) -> int:
        """Note that a submission begins, before it is sent; return its number."""
        self._number += 1
        self._write(self._number, INVOKE, family, envelope, time_ms, {})
        return self._number

    def ok(
        self, op: int, family: str, envelope: EventEnvelope, receipt: Receipt, time_ms: int
    ) -> None:
        """Note the receipt of a submission."""
        document = MessageToDict(receipt, preserving_proto_field_name=True)
        more = {"event_id": receipt.event_id, "receipt": document}
        self._write(op, OK, family, envelope, time_ms, more)

    def fail(self, op: int, family: str, envelope: EventEnvelope, time_ms: int) -> None:
        """Note that a submission was refused: nothing of it may be on the log."""
        self._write(op, FAIL, family, envelope, time_ms, {})

    def info(self, op: int, family: str, envelope: EventEnvelope, time_ms: int) -> None:
        """Note that it is not known what became of a submission."""
        self._write(op, INFO, family, envelope, time_ms, {})

    def injected(self, place: Place, time_ms: int) -> None:
        """Note a record that a test wrote to a topic past the intakes."""
        self._number += 1
        receipt = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
        self._write(self._number, OK, "", EventEnvelope(), time_ms, {"receipt": receipt})

    def _write(
        self,
        op: int,
        kind: str,
        family: str,
        envelope: EventEnvelope,
        time_ms: int,
        more: Mapping[str, object],
    ) -> None:
        document = {
            "op": op,
            "client": self._client,
            "kind": kind,
            "family": family,
            "source_system": envelope.source_system,
            "source_record_id": envelope.source_record_id,
            "source_version": envelope.source_version,
            "entity_key": f"{envelope.entity_key.scheme}:{envelope.entity_key.value}",
            "time_ms": time_ms,
            **more,
        }
        self._file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")


def read_history(path: Path) -> list[Operation]:
    """Return the operations of a history, each with its last outcome.

    A last line that a killed client left half written is dropped. Raises ValueError for any other
    line that is not of this form.
    """
    found: dict[tuple[str, int], Operation] = {}
    for document in lines_of(path):
        operation = _operation(document)
        key = operation.client, operation.number
        if key not in found or _RANK[found[key].kind] == 0:
            found[key] = operation
    return list(found.values())


def lines_of(path: Path) -> Iterator[dict[str, object]]:
    """Yield the objects of a file of JSON lines but a last line without its end."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _operation(document: Mapping[str, object]) -> Operation:
    kind = str(document["kind"])
    if kind not in _RANK:
        raise ValueError(f"not a kind of outcome: {kind!r}")
    receipt = document.get("receipt")
    place, payload_hash = None, ""
    if isinstance(receipt, dict):
        # An offset of 0 is left out of protobuf's JSON; 64-bit numbers are text there.
        partition, offset = int(receipt.get("partition", 0)), int(receipt.get("offset", 0))
        place = Place(str(receipt.get("topic", "")), partition, offset)
        payload_hash = str(receipt.get("payload_hash", ""))
    return Operation(
        client=str(document["client"]),
        number=int(str(document["op"])),
        kind=INFO if kind == INVOKE else kind,
        slot=Slot(
            str(document["family"]),
            str(document["source_system"]),
            str(document["source_record_id"]),
            int(str(document["source_version"])),
        ),
        entity_key=str(document["entity_key"]),
        event_id=str(document.get("event_id", "")),
        place=place,
        payload_hash=payload_hash,
    )
