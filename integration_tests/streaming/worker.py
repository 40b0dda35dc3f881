"""A stream worker with a ten-line fold, run as a process of its own by the streaming tests.

``python worker.py '<json>'``: the arguments of ``Engine`` plus ``alerts_topic``, ``settings``, and
what a test asks for: ``needs_bundle``, ``ticks``, ``fail_on``, ``hang_on``, ``die_on``,
``wedge_on`` (values), ``slow_s`` (a unit's least duration), ``fault`` (a name from FAULTS),
``phases`` (where `die_once_a_phase` ends the process).
"""

# ruff: noqa: ARG001, ARG002  Steps and faults are given more than each of them needs.

import asyncio
import hashlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.assignor.partition_assignor import PartitionAssignor

from integration_tests.streaming.unmarked import Unmarked
from services.runtime.logging import configure_logging
from services.runtime.settings import LogFormat, LogSettings
from services.streaming import predecessor
from services.streaming.consumer import EngineConsumer
from services.streaming.engine import Engine, run_worker
from services.streaming.interface import ReadStore, SideRecord, SourceRecord, UnitOutput
from services.streaming.meta import META_KEY, decode
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore, Prepared
from services.streaming.succession import Predecessor
from services.streaming.unit_of_work import PartitionProducer

ARGUMENTS: dict[str, Any] = {}


def name_of(record: SourceRecord) -> bytes:
    """Return what a record's entry or dead letter is called."""
    return f"{record.topic}|{record.partition}|{record.offset}".encode()


class CountingStep:
    """Counts the events of a key; writes an entry for each event, an alert for each tenth."""

    def __init__(self, partition: int) -> None:
        self.partition = partition

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Fold: a state is (count, sum of values); control records become entries only."""
        time.sleep(ARGUMENTS.get("slow_s", 0))
        states: dict[bytes, list[int]] = {}
        output = UnitOutput()
        for record in records:
            if record.value == str(ARGUMENTS.get("fail_on")).encode():
                raise ValueError("a value this step cannot bear")
            if record.value == str(ARGUMENTS.get("hang_on")).encode():
                time.sleep(3600)
            if record.value == str(ARGUMENTS.get("die_on")).encode():
                os.kill(os.getpid(), signal.SIGKILL)
            if record.value == str(ARGUMENTS.get("wedge_on")).encode():
                re.match(r"(a+)+$", "a" * 60 + "b")  # never ends, and never lets another thread run
            entry = SideRecord(ARGUMENTS["timeline_topic"], name_of(record), record.value or b"")
            output.side.append(entry)
            if record.topic == ARGUMENTS["control_topic"]:
                if record.value == b"bundle":
                    output.changelog[b"bundle"] = b"1"
                continue
            key = record.key or b""
            if key not in states:
                states[key] = json.loads(store.get(key) or b"[0, 0]")
            states[key][0] += 1
            states[key][1] += int(record.value or b"0")
            if states[key][0] % 10 == 0:
                digest = hashlib.sha256(key + b"|%d" % states[key][0]).hexdigest().encode()
                cause = (("cause", name_of(record)),)
                output.side.append(SideRecord(ARGUMENTS["alerts_topic"], key, digest, cause))
        output.changelog.update({k: json.dumps(s).encode() for k, s in states.items()})
        return output

    def refuse(self, record: SourceRecord, deaths: int, store: ReadStore) -> UnitOutput:
        """Write it to the dead letters, under the name its entry would have had."""
        return UnitOutput(
            side=[SideRecord(ARGUMENTS["dead_letter_topic"], name_of(record), record.value or b"")]
        )

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


def patch_poll(change: Callable[[set[TopicPartition], Any], Any]) -> None:
    """Let ``change`` see what is wanted before a poll, and what came after it."""
    poll = EngineConsumer.poll

    async def changed(
        self: EngineConsumer, assignment: Any, wanted: set[TopicPartition], patience_s: float
    ) -> Any:
        change(wanted, None)
        if not wanted:
            await asyncio.sleep(0.01)
            return None
        brought = await poll(self, assignment, wanted, patience_s)
        change(wanted, brought)
        return brought

    EngineConsumer.poll = changed  # type: ignore[method-assign]


def delay_first_event_topic(engine: Engine) -> None:
    """Fetch nothing of the first event topic before the test asks for it.

    ``<data_dir>.delivered`` tells how many records of the other topics came meanwhile,
    ``<data_dir>.release`` ends the delay.
    """
    topic = ARGUMENTS["source_topics"][1]
    delivered = Path(f"{ARGUMENTS['data_dir']}.delivered")
    release = Path(f"{ARGUMENTS['data_dir']}.release")
    count = 0

    def change(wanted: set[TopicPartition], brought: Any) -> None:
        nonlocal count
        if not release.exists():
            wanted -= {tp for tp in wanted if tp.topic == topic}
        if brought is not None:
            count += sum(len(c.records) for chunks in brought.chunks.values() for c in chunks)
            delivered.write_text(f"{count}")

    patch_poll(change)


def lose_a_chunk(engine: Engine) -> None:
    """Lose what one poll brought, as a delivery that spans a rebalance does."""
    polls: list[int] = []

    def change(wanted: set[TopicPartition], brought: Any) -> None:
        if brought is not None and any(c.records for cs in brought.chunks.values() for c in cs):
            polls.append(1)
            if len(polls) == 2:
                brought.chunks.clear()

    patch_poll(change)


def assign_round_robin(engine: Engine) -> None:
    """Use the assignor Faust falls back to without tables and standbys."""
    engine.app.conf.table_standby_replicas = 0


def leave_when_idle(engine: Engine) -> None:
    """Let aiokafka leave the group after five seconds without a poll, as it does by default."""
    engine.app.conf.broker_max_poll_interval = 5.0


def lead_without_metadata(engine: Engine) -> None:
    """Assign nothing to anyone, as a leader does that does not know the topics yet."""
    PartitionAssignor._get_copartitioned_groups = lambda *_: {}  # type: ignore[method-assign]


def delay_reading(engine: Engine) -> None:
    """Write nothing that recovery reads to a local store before the test asks for it.

    ``<data_dir>.release`` ends the delay.
    """
    release = Path(f"{ARGUMENTS['data_dir']}.release")
    prepare = PartitionStore.prepare_in_turns

    async def delayed(self: PartitionStore, records: Any, local_index: Any) -> Prepared:
        await asyncio.to_thread(_wait_for_file, release)
        return await prepare(self, records, local_index)

    PartitionStore.prepare_in_turns = delayed  # type: ignore[method-assign]


def _wait_for_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)


def find_no_broker(engine: Engine) -> None:
    """Know no broker when the group's coordinator is looked for."""

    async def blind(self: GroupCoordinator) -> None:
        raise AssertionError("Did we not perform bootstrap?")

    GroupCoordinator.ensure_coordinator_known = blind


def end_fetching(engine: Engine) -> None:
    """Let the task that fetches end without an error, a second after the first poll."""
    poll = EngineConsumer.poll
    begun: list[float] = []

    async def polled(
        self: EngineConsumer, assignment: Any, wanted: set[TopicPartition], patience_s: float
    ) -> Any:
        begun.append(time.monotonic())
        if begun[-1] - begun[0] > 1.0:
            task = self.kafka._fetcher._fetch_task
            task.get_loop().call_soon_threadsafe(task.cancel)
        return await poll(self, assignment, wanted, patience_s)

    EngineConsumer.poll = polled  # type: ignore[method-assign]


def tell_readiness(engine: Engine) -> None:
    """Write to ``<data_dir>.ready``, twice a second, whether it is: ``True`` or ``False``."""
    told = Path(f"{ARGUMENTS['data_dir']}.ready")

    async def tell() -> None:
        await asyncio.to_thread(told.write_text, str(engine.health.ready))

    engine.app.timer(0.5)(tell)


def delay_commits(engine: Engine) -> None:
    """Commit a unit of few records only after the steps of all other partitions had their turn."""
    commit = PartitionProducer.commit

    async def delayed(self: PartitionProducer, topics: Any) -> dict[str, int]:
        if sum(len(records) for _, records in topics) <= 4:
            await asyncio.sleep(1.0)
        return await commit(self, topics)

    PartitionProducer.commit = delayed  # type: ignore[method-assign]


def leave_undecided(engine: Engine) -> None:
    """Leave one transaction without a marker; ``dies`` says when the process ends (`Unmarked`)."""
    place = (ARGUMENTS["unmarked_partition"], ARGUMENTS["alerts_topic"])
    mark = Path(f"{ARGUMENTS['data_dir']}.undecided")
    unmarked = Unmarked(*place, mark, ARGUMENTS["dies"], partial=ARGUMENTS["partial"])
    PartitionProducer.commit = unmarked.commit  # type: ignore[assignment, method-assign]
    PartitionProducer._decide = unmarked.decide  # type: ignore[method-assign]


def die_once_a_phase(engine: Engine) -> None:
    """End the process, as a crash does, once in each of ``phases`` of a succession.

    ``withheld``: a unit that publishes nothing is committed, and not in the local store yet.
    ``closing``: the predecessor is fenced, and nothing of it is closed yet. ``closed``: a partition
    of it is. ``published``: the first unit of its own is committed.
    """

    def end(phase: str) -> None:
        mark = Path(ARGUMENTS["data_dir"]) / f"died-{phase}"
        if phase in ARGUMENTS["phases"] and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    commit = PartitionProducer.commit

    async def committed(self: PartitionProducer, topics: Any) -> dict[str, int]:
        offsets = await commit(self, topics)
        key, value, _headers = topics[0][1][-1]
        if key == META_KEY:
            end("withheld" if decode(value).shadow else "published")
        return offsets

    class ClosingProducer(PartitionProducer):
        async def commit(self, topics: Any) -> dict[str, int]:
            end("closing")
            offsets = await commit(self, topics)
            end("closed")
            return offsets

    PartitionProducer.commit = committed  # type: ignore[method-assign]
    predecessor.PartitionProducer = ClosingProducer  # type: ignore[attr-defined]


FAULTS: dict[str, Callable[[Engine], None]] = {
    "delay_first_event_topic": delay_first_event_topic,
    "leave_undecided": leave_undecided,
    "lose_a_chunk": lose_a_chunk,
    "assign_round_robin": assign_round_robin,
    "leave_when_idle": leave_when_idle,
    "lead_without_metadata": lead_without_metadata,
    "delay_commits": delay_commits,
    "delay_reading": delay_reading,
    "end_fetching": end_fetching,
    "tell_readiness": tell_readiness,
    "find_no_broker": find_no_broker,
    "die_once_a_phase": die_once_a_phase,
}


def main() -> None:
    """Run until stopped."""
    ARGUMENTS.update(json.loads(sys.argv[1]))
    configure_logging("worker", LogSettings(format=LogFormat.JSON))
    engine = Engine(
        ARGUMENTS["app_id"],
        source_topics=ARGUMENTS["source_topics"],
        control_topic=ARGUMENTS["control_topic"],
        changelog_topic=ARGUMENTS["changelog_topic"],
        timeline_topic=ARGUMENTS["timeline_topic"],
        side_topics=(ARGUMENTS["alerts_topic"], ARGUMENTS["dead_letter_topic"]),
        guarded_topics=ARGUMENTS.get("guarded_topics", ()),
        predecessor=Predecessor(**heritage) if (heritage := ARGUMENTS.get("predecessor")) else None,
        step_factory=CountingStep,
        data_dir=Path(ARGUMENTS["data_dir"]),
        bootstrap=ARGUMENTS["bootstrap"],
        partition_count=ARGUMENTS["partition_count"],
        settings=EngineSettings(**ARGUMENTS["settings"]),
    )
    if "fault" in ARGUMENTS:
        FAULTS[ARGUMENTS["fault"]](engine)
    run_worker(engine)


if __name__ == "__main__":
    main()
