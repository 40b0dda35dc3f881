"""How much of a changelog a store lacks, and when it is no copy of it."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from services.streaming.changelog import ChangelogReader
from services.streaming.health import RestoreProgress
from services.streaming.local_database import StoreOptions
from services.streaming.meta import META_KEY, Applied, Meta, encode
from services.streaming.settings import EngineSettings
from services.streaming.store import PartitionStore, Position

BEGIN, END = 100, 500


class Log:
    """A changelog partition that holds the offsets from BEGIN to END."""

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Answer as the broker does."""
        return dict.fromkeys(tps, BEGIN)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Answer as the broker does."""
        return dict.fromkeys(tps, END)


@pytest.mark.parametrize(
    ("stands", "left"),
    [
        pytest.param(0, END - BEGIN, id="empty"),
        pytest.param(40, END - BEGIN, id="before the first offset there is"),
        pytest.param(499, 1, id="lacks a marker"),
        pytest.param(500, 0, id="whole"),
        pytest.param(501, END - BEGIN, id="ahead: of another past"),
    ],
)
async def test_what_a_store_lacks_is_what_it_has_to_read(
    tmp_path: Path, stands: int, left: int
) -> None:
    """A store that is no copy of the changelog lacks all of it."""
    store = PartitionStore(tmp_path / "p", StoreOptions(1 << 20, 8 << 20), "a/0")
    store.apply(store.prepare([(b"k", b"1")], lambda *_: ()), Position(stands, -1))
    shown = RestoreProgress()
    reader = ChangelogReader("changelog", "127.0.0.1:1", EngineSettings())
    connected, log = reader.consumer, Log()
    unconnected: Any = reader
    unconnected._consumer = log
    await reader.measure({0: (store, shown)})
    await connected.stop()
    store.close()
    assert (shown.left, shown.end) == (left, END)


class Unit(NamedTuple):
    """A committed unit in a changelog: one state, then META."""

    number: int
    offset: int
    applied: int = 10

    @property
    def records(self) -> list[ConsumerRecord[Any, Any]]:
        """As a consumer delivers them."""
        meta = Meta(self.number, 0, {"events": Applied(self.applied, 0)})
        pairs = [(b"k", b"%d" % self.number), (META_KEY, encode(meta))]
        return [
            ConsumerRecord("changelog", 0, self.offset + n, 0, 0, key, value, None, 0, 0, ())
            for n, (key, value) in enumerate(pairs)
        ]


class ReadableLog(Log):
    """A changelog partition with a few units between offsets of nothing."""

    def __init__(self, *units: Unit) -> None:
        self._records = [record for unit in units for record in unit.records]
        self._position = 0
        self.newest_meta = self._records[-1].value

    def assign(self, tps: list[TopicPartition]) -> None:
        """There is one partition only."""

    def pause(self, tp: TopicPartition) -> None:
        """It is not asked any more."""

    def seek(self, _tp: TopicPartition, offset: int) -> None:
        """Go on from there."""
        self._position = offset

    async def position(self, _tp: TopicPartition) -> int:
        """Where the next fetch begins."""
        return self._position

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Return the next record: META and what is before it may come apart."""
        found = [record for record in self._records if record.offset >= self._position][:1]
        self._position = found[0].offset + 1 if found else END
        return {TopicPartition("changelog", 0): found} if found else {}


STORED = Unit(5, 300)
"""The last unit that the local store contains."""


@pytest.mark.parametrize(
    ("log", "wiped"),
    [
        pytest.param(ReadableLog(Unit(4, 200), STORED), False, id="its newest unit is there"),
        pytest.param(ReadableLog(Unit(7, 400)), False, id="compacted: a newer one is there"),
        pytest.param(ReadableLog(Unit(4, 200)), True, id="aborted in the end, nothing after it"),
        pytest.param(ReadableLog(Unit(4, 200), Unit(5, 400)), True, id="aborted, and made again"),
        pytest.param(ReadableLog(Unit(6, 400, 9)), True, id="made again in smaller ones"),
        pytest.param(ReadableLog(Unit(4, 200), Unit(6, 300)), True, id="another one in its place"),
    ],
)
async def test_store_whose_newest_unit_is_not_in_the_changelog_is_read_anew(
    tmp_path: Path,
    log: ReadableLog,
    wiped: bool,  # noqa: FBT001  a row of a table
) -> None:
    """It would hold what nobody else will ever see, and pass what it came from."""
    store = PartitionStore(tmp_path / "p", StoreOptions(1 << 20, 8 << 20), "a/0")
    held = [*((r.key, r.value) for r in STORED.records), (b"only here", b"1")]
    meta_offset = STORED.records[-1].offset
    store.apply(store.prepare(held, lambda *_: ()), Position(meta_offset + 1, meta_offset))
    reader = ChangelogReader("changelog", "127.0.0.1:1", EngineSettings())
    connected, unconnected = reader.consumer, reader
    unconnected._consumer = log
    stores, shown = {0: (store, lambda *_: ())}, {0: RestoreProgress()}
    await reader.restore(stores, shown, lambda _: None, alone=True)
    await connected.stop()
    assert (store.get(b"only here") is None) is wiped
    assert store.meta_value == log.newest_meta
    store.close()
