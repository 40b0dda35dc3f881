"""What callers of the profile service were answered during a run: one JSON object a line.

    {"caller": "q0", "entity_key": "uscc:9144...", "code": "OK", "versions":
     {"complaints": [3, 120], ...}, "totals": {"complaints": 4}, "time_ms": 1764000000000}

``versions``: family → partition and next offset to be applied, of the answer's freshness. ``code``
is the gRPC status by name; only an `OK` has versions and totals. Lines of one caller stand in the
order in which it received the answers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from market_supervision.profiles.v1.entity_profile_service_pb2 import GetEntityProfileResponse

from integration_tests.judge.history import lines_of


class AnswerWriter:
    """Appends the answers of one caller, a line a write."""

    def __init__(self, path: Path, caller: str) -> None:
        self._file = path.open("ab", buffering=0)
        self._caller = caller

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def answered(self, entity_key: str, answer: GetEntityProfileResponse, time_ms: int) -> None:
        """Note a profile that was answered."""
        versions = {f.family: [f.partition, f.next_offset] for f in answer.freshness}
        totals = {total.name: total.value for total in answer.profile.totals}
        document = {"code": "OK", "versions": versions, "totals": totals}
        self._write(entity_key, document, time_ms)

    def refused(self, entity_key: str, code: str, time_ms: int) -> None:
        """Note that a call failed, with the name of its status."""
        self._write(entity_key, {"code": code}, time_ms)

    def _write(self, entity_key: str, document: Mapping[str, object], time_ms: int) -> None:
        line = {"caller": self._caller, "entity_key": entity_key, "time_ms": time_ms, **document}
        self._file.write(json.dumps(line).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    caller: str
    entity_key: str
    code: str
    versions: Mapping[str, tuple[int, int]]


def read_answers(path: Path) -> Iterator[Answer]:
    """Yield the answers of a file."""
    for line in lines_of(path):
        versions = line.get("versions", {})
        assert isinstance(versions, dict)
        yield Answer(
            caller=str(line["caller"]),
            entity_key=str(line["entity_key"]),
            code=str(line["code"]),
            versions={family: (int(p), int(offset)) for family, (p, offset) in versions.items()},
        )
