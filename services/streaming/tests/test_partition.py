"""Units of work of one partition, with a producer that only remembers."""

# ruff: noqa: ARG001, ARG002  Steps are given more than each of them needs.

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.streaming.attempts import (
    DEATHS_MAX,
    PART_RECORDS,
    Attempt,
    AttemptJournal,
    Seal,
)
from services.streaming.chunks import Backlog, Chunk, Delivery, TopicEnd
from services.streaming.exits import EngineError, ExitCode
from services.streaming.health import PHASES, EngineHealth
from services.streaming.interface import (
    Headers,
    PartitionStep,
    ReadStore,
    SideRecord,
    SourceRecord,
    UnitOutput,
)
from services.streaming.local_database import StoreFailedError, StoreOptions
from services.streaming.merge import SETTLE_NS, HoleError
from services.streaming.meta import META_KEY, Applied, Meta, decode
from services.streaming.pacing import Pacer
from services.streaming.partition import Partition
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore
from services.streaming.topics import Topics
from services.streaming.unit_of_work import PartitionProducer
from services.streaming.watchdog import Watch

TOPICS = Topics(("control", "events"), "control", "changelog", "timeline")
EPOCH = 5

Run = Callable[[Sequence[SourceRecord], ReadStore, int], UnitOutput]


class ScriptedStep:
    """Runs what the test gives it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.calls: list[list[str]] = []
        self.stream_times: list[int] = []
        self.held = False
        self.ticks: list[tuple[bytes, bytes] | None] = []

    def run(
        self, records: Sequence[SourceRecord], store: ReadStore, stream_time_ms: int
    ) -> UnitOutput:
        """Remember and run."""
        self.calls.append([f"{r.topic}{r.offset}" for r in records])
        self.stream_times.append(stream_time_ms)
        return self._run(records, store, stream_time_ms)

    def refuse(self, record: SourceRecord, deaths: int, store: ReadStore) -> UnitOutput:
        """Write that it was refused."""
        self.calls.append([f"refused {record.topic}{record.offset} after {deaths}"])
        return UnitOutput({b"refused": b"%d" % record.offset})

    def local_index(
        self, key: bytes, old: bytes | None, new: bytes
    ) -> Iterable[tuple[bytes, bytes | None]]:
        """Derive a key from the value."""
        if new == b"unindexable":
            raise ValueError(new)
        return [(b"by-value|" + new, b"")]

    def holds(self, store: ReadStore) -> bool:
        """Hold while the test says so and no bundle is known."""
        return self.held and store.get(b"bundle") is None

    def tick(
        self, stream_time_ms: int, wall_ms: int, store: ReadStore
    ) -> tuple[bytes, bytes] | None:
        """Give the next scripted tick."""
        return self.ticks.pop(0) if self.ticks else None


class RememberingProducer:
    """Keeps transactions instead of sending them."""

    def __init__(self) -> None:
        self.transactions: list[dict[str, list[tuple[bytes | None, bytes, Any]]]] = []
        self.offset = 0
        self.before_commit: Callable[[], None] = lambda: None

    def mark(self, unit: int) -> Headers:
        """As a producer does."""
        return (("unit", b"%d" % unit),)

    async def commit(
        self, topics: Sequence[tuple[str, Sequence[tuple[bytes | None, bytes, Any]]]]
    ) -> dict[str, int]:
        """Remember, and number the records as one log would."""
        self.before_commit()
        self.transactions.append({topic: list(records) for topic, records in topics})
        self.offset += 100
        return {topic: self.offset for topic, _ in topics}


Make = Callable[..., tuple[Partition, ScriptedStep, RememberingProducer]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a maker of an opened partition; its store survives being made again."""
    stores: list[PartitionStore] = []

    def build(run: Run, **settings: Any) -> tuple[Partition, ScriptedStep, RememberingProducer]:
        for store in stores:
            store.close()
        stores[:] = [PartitionStore(tmp_path / "p", StoreOptions(1 << 20, 1 << 20), "a/7")]
        step, producer = ScriptedStep(run), RememberingProducer()
        partition = Partition(
            7,
            EPOCH,
            TOPICS,
            cast("PartitionStep", step),
            stores[0],
            AttemptJournal(tmp_path / "p.try", "a/7", Seal()),
            cast("PartitionProducer", producer),
            Pacer(10_000.0),
            EngineSettings(**settings),
        )
        partition.restored()
        partition.open()
        return partition, step, producer

    yield build
    for store in stores:
        store.close()


def events(start: int, times: Sequence[int], topic: str = "events") -> Delivery:
    """Deliver records of a topic, with both topics at their end."""
    records = [
        SourceRecord(topic, 7, start + n, time_ms, b"k%d" % n, b"v%d" % n, ())
        for n, time_ms in enumerate(times)
    ]
    end = start + len(times)
    other = "control" if topic == "events" else "events"
    ends = [TopicEnd(topic, end, end, SETTLE_NS), TopicEnd(other, 0, 0, SETTLE_NS)]
    return Delivery(EPOCH, [Chunk(topic, start, end, 0, records)], ends)


async def work(partition: Partition, *deliveries: Delivery) -> None:
    """Let the partition work on deliveries that arrived together."""
    waiting = list(deliveries)

    def arrived() -> list[Delivery]:
        taken = waiting.copy()
        waiting.clear()
        return taken

    for delivery in deliveries:
        for chunk in delivery.chunks:
            partition.add_backlog(chunk)
    await partition.work(arrived)


def keep_all(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
    """Write every record under its key, and an entry."""
    return UnitOutput(
        {record.key or b"": record.value or b"" for record in records},
        [SideRecord("timeline", b"entry", b"%d" % record.offset) for record in records],
    )


async def test_unit_writes_meta_last_to_changelog_and_timeline(make: Make) -> None:
    """Who has passed META has passed the whole unit, on either topic."""
    partition, _, producer = make(keep_all)
    await work(partition, events(0, [10, 20]))
    transaction = producer.transactions[0]
    meta = transaction["changelog"][-1]
    assert [key for key, _, _ in transaction["changelog"]] == [b"k0", b"k1", META_KEY]
    first = (b"entry", b"0", producer.mark(1))
    assert transaction["timeline"] == [first, (b"entry", b"1", ()), meta]
    assert decode(meta[1]) == Meta(1, 20, {"events": Applied(2, 20)})


async def test_unit_committed_is_in_the_local_store_with_its_index(make: Make) -> None:
    """The next unit reads what this one wrote; the position is that of its META record."""
    partition, _, _ = make(keep_all)
    await work(partition, events(0, [10]))
    assert partition.store.get(b"k0") == b"v0"
    assert partition.store.get(b"by-value|v0") == b""
    assert (partition.store.position.next_offset, partition.store.position.meta_offset) == (
        101,
        100,
    )
    assert partition.health.waiting_records == 0
    assert partition.backlog["events"] == Backlog(0, 0)


async def test_memory_of_the_backlog_is_free_when_its_chunk_is_used_up(make: Make) -> None:
    """As long as one record of a chunk waits, all of them are held."""
    partition, _, _ = make(keep_all, unit_records=1)
    delivery = events(0, [10, 20])
    held = delivery.chunks[0].held
    partition.add_backlog(delivery.chunks[0])
    assert partition.backlog["events"] == Backlog(2, held)
    seen: list[Backlog] = []
    waiting = [delivery]

    def arrived() -> list[Delivery]:
        seen.append(replace(partition.backlog["events"]))
        return [waiting.pop()] if waiting else []

    await partition.work(arrived)
    assert Backlog(1, held) in seen
    assert partition.backlog["events"] == Backlog(0, 0)


def _index_known(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
    gone = {b"by-value|gone": None} if store.get(b"k") else {b"by-value|gone": b""}
    return UnitOutput({b"k": b"unindexable"}, local={b"by-value|known": b"", **gone})


async def test_index_that_the_step_knows_is_not_derived_again(make: Make) -> None:
    """What the output says of the local-only keys is written, deletions included."""
    partition, _, _ = make(_index_known)
    await work(partition, events(0, [10]))
    assert partition.store.get(b"by-value|known") == b""
    assert partition.store.get(b"by-value|gone") == b""
    await work(partition, events(1, [20]))
    assert partition.store.get(b"by-value|gone") is None


async def test_partition_made_again_continues_where_the_state_is(make: Make) -> None:
    """Positions come from META in the state, never from the group."""
    partition, _, _ = make(keep_all)
    await work(partition, events(0, [10, 20, 30]))
    again, step, _ = make(keep_all)
    assert again.restored() == {"control": 0, "events": 3}
    await work(again, events(3, [25]))
    assert step.stream_times == [30]
    with pytest.raises(HoleError):
        await work(again, events(9, [40]))


async def test_offsets_without_a_record_are_neither_a_unit_nor_a_lag(make: Make) -> None:
    """A transaction that was taken back at the end of a topic leaves nothing to apply, for ever."""
    partition, step, producer = make(keep_all)
    await work(partition, events(0, [10]))
    end = TopicEnd("events", 5, 5, 2 * SETTLE_NS)
    await work(partition, Delivery(EPOCH, [Chunk("events", 1, 5, SETTLE_NS, [])], [end]))
    assert len(step.calls) == len(producer.transactions) == 1
    assert partition.health.lag("events") == 0
    complaint = Watch(1.0)
    health = EngineHealth(assigned=True, partitions={7: partition.health})
    for second in range(5):
        health.loop_alive = float(second)
        assert complaint.complaint(health, float(second)) is None


async def test_committed_units_are_counted_with_their_time_by_phase(make: Make) -> None:
    """Each phase once a unit; what a transaction wrote, by topic, META included."""
    partition, _, _ = make(keep_all, unit_records=2)
    await work(partition, events(0, [10, 20, 30]))
    totals = partition.health.totals
    assert (totals.units, totals.records) == (2, 3)
    assert totals.written == {"changelog": 5, "timeline": 5}
    assert {phase: sum(h.counts) for phase, h in totals.phases.items()} == dict.fromkeys(PHASES, 2)


async def test_records_beyond_the_bound_make_several_units(make: Make) -> None:
    """A unit is bounded; the stream time before each is that of what came before."""
    partition, step, _ = make(keep_all, unit_records=2)
    await work(partition, events(0, [10, 20, 30, 40, 50]))
    assert step.calls == [["events0", "events1"], ["events2", "events3"], ["events4"]]
    assert step.stream_times == [0, 20, 40]


async def test_records_not_taken_are_given_again_first(make: Make) -> None:
    """A step may end its unit early; what it did not take comes again, and is not applied."""

    def take_one(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        output = keep_all(records[:1], store, time_ms)
        output.taken = 1
        return output

    partition, step, producer = make(take_one)
    await work(partition, events(0, [10, 20]))
    assert step.calls == [["events0", "events1"], ["events1"]]
    metas = [decode(t["changelog"][-1][1]) for t in producer.transactions]
    assert [meta.applied["events"] for meta in metas] == [Applied(1, 10), Applied(2, 20)]
    assert partition.health.records == 2


async def test_tick_with_much_to_do_spreads_over_units(make: Make) -> None:
    """A tick is not taken until nothing is left; a crash between finds it again."""

    def fire(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        done = int(store.get(b"done") or b"0")
        output = UnitOutput({b"done": b"%d" % (done + 1)})
        output.taken = 0 if done < 2 else None
        return output

    partition, step, producer = make(fire)
    await work(partition, events(0, [10], topic="control"))
    assert step.calls == [["control0"]] * 3
    assert [decode(t["changelog"][-1][1]).unit for t in producer.transactions] == [1, 2, 3]
    assert [len(decode(t["changelog"][-1][1]).applied) for t in producer.transactions] == [0, 0, 1]


async def test_holding_step_gets_control_records_one_a_unit(make: Make) -> None:
    """Before the first bundle the events wait, and no tick behind it is read ahead of them."""

    def learn(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        output = UnitOutput()
        if records[0].topic == "control" and records[0].offset == 1:
            output.changelog[b"bundle"] = b"1"
        return output

    partition, step, _ = make(learn)
    step.held = True
    control = events(0, [20, 30, 40], topic="control")
    late = Delivery(EPOCH, events(0, [10, 35]).chunks, [TopicEnd("events", 2, 2, SETTLE_NS)])
    await work(partition, late)
    assert step.calls == []
    await work(partition, Delivery(EPOCH, control.chunks, [TopicEnd("control", 3, 3, SETTLE_NS)]))
    assert step.calls == [["control0"], ["control1"], ["events0", "events1", "control2"]]
    assert step.stream_times == [0, 20, 30]


async def test_tick_that_is_due_rides_with_a_unit_or_goes_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written to the control topic of the partition; alone it needs no META."""
    partition, step, producer = make(keep_all)
    await work(partition, events(0, [10]))
    step.ticks = [(b"hour", b"1"), (b"hour", b"2"), None]
    monkeypatch.setattr(partition, "_next_tick", 0.0)
    await work(partition, events(1, [20]))
    monkeypatch.setattr(partition, "_next_tick", 0.0)
    await work(partition)
    monkeypatch.setattr(partition, "_next_tick", 0.0)
    await work(partition)
    _, riding, alone = producer.transactions
    assert riding["control"] == [(b"hour", b"1", producer.mark(2))]
    assert riding["changelog"][-1][0] == META_KEY
    assert alone == {"control": [(b"hour", b"2", producer.mark(2))]}


async def test_delivery_of_an_old_epoch_is_dropped(make: Make) -> None:
    """Positions died with their assignment; the new owner fetches the records itself."""
    partition, step, _ = make(keep_all)
    old = events(0, [10])
    await work(partition, Delivery(EPOCH - 1, old.chunks, old.ends))
    assert step.calls == []


async def test_closed_partition_begins_no_unit(make: Make) -> None:
    """After revocation nothing is written any more."""
    partition, step, producer = make(keep_all)
    partition.close()
    await work(partition, events(0, [10]))
    assert step.calls == []
    assert producer.transactions == []


def _raise(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
    raise KeyError("defect")


def _stage_only(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
    store.stage(b"k", b"1")
    return UnitOutput()


def _unindexable(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
    return UnitOutput({b"k": b"unindexable"})


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (_raise, "step raised on 1 records of partition 7, events@0 to events@0"),
        (_stage_only, "staged b'k' is not in the output"),
        (_unindexable, "local_index raised"),
    ],
)
async def test_defect_of_the_step_leaves_no_trace(make: Make, run: Run, reason: str) -> None:
    """Nothing is sent, the fault carries its exit code and says where."""
    partition, _, producer = make(run)
    with pytest.raises(EngineError, match=reason) as caught:
        await work(partition, events(0, [10]))
    assert caught.value.code is ExitCode.STEP_FAILED
    assert producer.transactions == []
    assert partition.store.get(b"k") is None


async def test_units_with_large_output_get_smaller_and_recover(make: Make) -> None:
    """Output stays near its bound without giving up the unit that went over it."""

    def grow(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        size = 1_000 if records[0].offset < 100 else 1
        return UnitOutput({b"%d" % record.offset: b"x" * size for record in records})

    partition, step, _ = make(grow, unit_records=64, unit_output_bytes=16_000)
    await work(partition, events(0, range(1, 301)))
    sizes = [len(call) for call in step.calls]
    assert sizes[0] == 64
    assert sizes[1] == 15
    assert sizes[-2] == 64
    assert sum(sizes) == 300


async def test_record_put_aside_is_remembered_until_its_unit_is_committed(make: Make) -> None:
    """A process that dies in between puts it aside again at once, instead of trying it anew."""

    def die(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        raise AssertionError("a record put aside is not given to the step")

    partition, step, producer = make(die)
    journal = partition._tried._journal
    journal.begin(Attempt("events", 0, 1, 2, alone=True))
    partition.restored()
    seen: list[Attempt | None] = []
    producer.before_commit = lambda: seen.append(journal.left())
    await work(partition, events(0, [10]))
    assert step.calls == [["refused events0 after 3"]]
    assert seen == [Attempt("events", 0, 1, 3, alone=True)]
    assert journal.left() is None


async def test_poison_in_a_large_unit_is_searched_by_parts(make: Make) -> None:
    """Every death starts the partition anew from where the state is; at the end all is applied."""
    poison, last = 137, 260

    def run(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        if poison in {record.offset for record in records}:
            raise ValueError(poison)
        return keep_all(records, store, time_ms)

    died_with: list[int] = []
    applied, units = 0, 0
    while applied < last:
        assert len(died_with) < 10, died_with
        partition, step, _ = make(run)
        applied = partition.restored()["events"]
        try:
            await work(partition, events(applied, range(applied, last)))
        except EngineError as error:
            died_with.append(len(step.calls[-1]) if error.code is ExitCode.STEP_FAILED else 0)
        units += len(step.calls)
        applied = partition.positions().get("events", 0)
    assert died_with == [260, 100, 1, 1, 1]
    assert units < 2 * PART_RECORDS
    assert step.calls[0] == [f"refused events{poison} after {DEATHS_MAX}"]


async def test_innocent_death_in_a_large_unit_is_followed_by_parts(make: Make) -> None:
    """Not by as many transactions as there were records."""

    def killed(*_: object) -> UnitOutput:
        raise KeyboardInterrupt

    partition, _, _ = make(killed)
    with pytest.raises(KeyboardInterrupt):
        await work(partition, events(0, range(250)))
    partition, step, _ = make(keep_all)
    await work(partition, events(0, range(300)))
    assert [len(call) for call in step.calls] == [100, 100, 50, 50]


async def test_disk_that_fails_in_a_step_speaks_against_no_record(
    make: Make, tmp_path: Path
) -> None:
    """Else the third start on a full disk would put a good record aside, and then the next one."""

    def read(records: Sequence[SourceRecord], store: ReadStore, time_ms: int) -> UnitOutput:
        raise StoreFailedError("local store: IO error: No space left on device")

    partition, _, _ = make(read)
    with pytest.raises(StoreFailedError) as failure:
        await work(partition, events(0, [10]))
    seal = partition._tried._journal._seal
    assert not seal.closed
    seal.absolve(failure.value.code, [partition._tried._journal])
    assert partition._tried._journal.left() is None
