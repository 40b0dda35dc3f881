"""How much of a changelog a store lacks."""

from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.streaming.changelog import ChangelogReader
from services.streaming.health import RestoreProgress
from services.streaming.local_database import StoreOptions
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
