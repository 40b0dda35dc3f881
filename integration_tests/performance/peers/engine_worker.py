"""This project's engine with the peers' fold: RocksDB and a transaction a unit, no projection."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from integration_tests.performance.peer_fold import fold
from integration_tests.performance.peers.progress import PeerArguments, SharedProgress
from services.runtime.logging import configure_logging
from services.runtime.settings import LogFormat, LogSettings
from services.streaming.engine import Engine, run_worker
from services.streaming.interface import ReadStore, SourceRecord, UnitOutput

LOOK_SECONDS = 0.02
UNTIL_READY = "--until-ready"
"""Further argument: end when everything is restored, before anything is drained."""


class PeerFoldStep:
    """The fold over a partition; no ticks, no rules, no local index."""

    def __init__(self, progress: SharedProgress) -> None:
        self._progress = progress

    def run(
        self,
        records: Sequence[SourceRecord],
        store: ReadStore,
        stream_time_ms: int,  # noqa: ARG002  the engine gives it to every step
    ) -> UnitOutput:
        """Fold a unit's records; a state is read once a unit and written once."""
        states: dict[bytes, bytes | None] = {}
        changed: dict[bytes, bytes] = {}
        for record in records:
            key = record.key or b""
            state = states[key] if key in states else store.get(key)
            after = fold(state, record.value or b"")
            if after is not None:
                changed[key] = state = after
            states[key] = state
        self._progress.add(len(records))
        return UnitOutput(changelog=changed)

    def refuse(
        self,
        record: SourceRecord,  # noqa: ARG002  as above
        deaths: int,  # noqa: ARG002
        store: ReadStore,  # noqa: ARG002
    ) -> UnitOutput:
        """Leave out a record that killed the process; the digest would tell."""
        return UnitOutput()

    def local_index(
        self,
        key: bytes,  # noqa: ARG002  as above
        old: bytes | None,  # noqa: ARG002
        new: bytes,  # noqa: ARG002
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """No local-only keys."""
        return ()

    def holds(self, store: ReadStore) -> bool:  # noqa: ARG002
        """Never wait for rules."""
        return False

    def tick(
        self,
        stream_time_ms: int,  # noqa: ARG002
        wall_ms: int,  # noqa: ARG002
        store: ReadStore,  # noqa: ARG002
    ) -> tuple[bytes, bytes] | None:
        """No ticks."""
        return None


def build(arguments: PeerArguments, progress: SharedProgress) -> Engine:
    """Compose the worker with the engine's own settings."""
    return Engine(
        arguments.group,
        source_topics=(arguments.control, arguments.topic),
        control_topic=arguments.control,
        changelog_topic=arguments.changelog,
        timeline_topic=arguments.timeline,
        step_factory=lambda _partition: PeerFoldStep(progress),
        data_dir=arguments.data_directory,
        bootstrap=arguments.bootstrap,
    )


def main() -> None:
    """Run until all workers have committed everything, or this one is restored; then stop."""
    configure_logging("bench", LogSettings(format=LogFormat.JSON))
    arguments = PeerArguments.decoded(sys.argv[1])
    until_ready = UNTIL_READY in sys.argv[2:]
    progress = SharedProgress(arguments)
    engine = build(arguments, progress)

    def is_done() -> bool:
        if until_ready:
            return engine.health.ready
        # Of all assignments: what the group gives to another worker was done here all the same.
        arguments.tell_done(sum(each.records for each in list(engine.health.totals.values())))
        return arguments.done() >= arguments.records

    def stop_at_the_end() -> None:
        while not is_done():
            time.sleep(LOOK_SECONDS)
        progress.close()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_at_the_end, daemon=True).start()
    run_worker(engine)


if __name__ == "__main__":
    main()
