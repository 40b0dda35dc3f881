"""A stream worker with a ten-line fold, run as a process of its own by the streaming tests.

``python worker.py '<json>'``: the arguments of ``Engine`` plus ``step`` (a name from STEPS),
``delay_topic`` (hide the fetches of a topic for ``delay_s`` seconds after the first poll) and
``settings``.
"""

# ruff: noqa: ARG002  The steps are given more than a ten-line fold needs.

import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from services.streaming.engine import Engine, run_worker
from services.streaming.interface import (
    PartitionStep,
    ReadStore,
    SideRecord,
    SourceRecord,
    UnitOutput,
)
from services.streaming.settings import EngineSettings

ARGUMENTS: dict[str, Any] = {}


class CountingStep:
    """Counts the events of a key; writes an entry for each event, an alert for each tenth."""

    def __init__(self, partition: int) -> None:
        self.partition = partition

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold: state is (count, sum of values); ticks and bundles are entries only."""
        states: dict[bytes, list[int]] = {}
        output = UnitOutput()
        for record in records:
            if record.topic == ARGUMENTS["control_topic"]:
                output.side.append(self._entry(record))
                if record.value == b"bundle":
                    output.changelog[b"bundle"] = b"1"
                continue
            key, value = record.key or b"", int(record.value or b"0")
            if key not in states:
                states[key] = json.loads(store.get(key) or b"[0, 0]")
            states[key][0] += 1
            states[key][1] += value
            output.side.append(self._entry(record))
            if states[key][0] % 10 == 0:
                digest = hashlib.sha256(key + b"|%d" % states[key][0]).hexdigest()
                output.side.append(SideRecord(ARGUMENTS["alerts_topic"], key, digest.encode()))
        output.changelog.update({k: json.dumps(s).encode() for k, s in states.items()})
        return output

    def _entry(self, record: SourceRecord) -> SideRecord:
        name = f"{record.topic}|{record.partition}|{record.offset}".encode()
        return SideRecord(ARGUMENTS["timeline_topic"], name, record.value or b"")

    def local_index(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """Derive ``count|<n>|<key>``."""
        if key == b"bundle":
            return
        if old is not None:
            yield b"count|%06d|%s" % (json.loads(old)[0], key), None
        yield b"count|%06d|%s" % (json.loads(new)[0], key), b""

    def holds(self, store: ReadStore) -> bool:
        """Hold until a bundle came, if the test says so."""
        return bool(ARGUMENTS.get("needs_bundle")) and store.get(b"bundle") is None

    def tick(
        self, stream_time_ms: int, wall_ms: int, store: ReadStore
    ) -> tuple[bytes, bytes] | None:
        """Write a tick if the test says so."""
        return (b"tick", str(wall_ms).encode()) if ARGUMENTS.get("ticks") else None


class FailingStep(CountingStep):
    """Raises on the value 13."""

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold, or raise."""
        if any(record.value == b"13" for record in records):
            raise ValueError("thirteen")
        return super().run(records, store, stream_time_ms)


class SlowStep(CountingStep):
    """Blocks the main loop on the value 13, for ever."""

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold, or hang."""
        if any(record.value == b"13" for record in records):
            time.sleep(3600)
        return super().run(records, store, stream_time_ms)


STEPS: dict[str, type[PartitionStep]] = {
    "counting": CountingStep,
    "failing": FailingStep,
    "slow": SlowStep,
}


def main() -> None:
    """Run until stopped."""
    ARGUMENTS.update(json.loads(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    engine = Engine(
        ARGUMENTS["app_id"],
        source_topics=ARGUMENTS["source_topics"],
        control_topic=ARGUMENTS["control_topic"],
        changelog_topic=ARGUMENTS["changelog_topic"],
        timeline_topic=ARGUMENTS["timeline_topic"],
        step_factory=STEPS[ARGUMENTS.get("step", "counting")],
        data_dir=Path(ARGUMENTS["data_dir"]),
        bootstrap=ARGUMENTS["bootstrap"],
        partition_count=ARGUMENTS["partition_count"],
        settings=EngineSettings(**ARGUMENTS.get("settings", {})),
    )
    run_worker(engine)


if __name__ == "__main__":
    main()
