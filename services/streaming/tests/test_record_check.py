"""A partition without state must not begin beside records that it would write again."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.streaming.exits import EngineError, ExitCode
from services.streaming.record_check import check_record


class Offset:
    """A record, as far as it matters here."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


class Committed:
    """A consumer of committed records: `log` holds, by offset, a record or None (aborted)."""

    def __init__(self, log: Mapping[TopicPartition, list[bool]]) -> None:
        self._log = log
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def beginning_offsets(self, parts: Iterable[TopicPartition]) -> dict[Any, int]:
        """Everything begins at 0."""
        return dict.fromkeys(parts, 0)

    async def end_offsets(self, parts: Iterable[TopicPartition]) -> dict[Any, int]:
        """Offsets are taken by aborted records too."""
        return {tp: len(self._log.get(tp, [])) for tp in parts}

    def assign(self, parts: Iterable[TopicPartition]) -> None:
        """Read these from now on."""
        self._positions = dict.fromkeys(parts, -1)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read from here."""
        self._positions[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        """Read no more."""
        self._paused.add(tp)

    async def position(self, tp: TopicPartition) -> int:
        """Return the next offset."""
        return self._positions[tp]

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Offset]]:
        """One offset of each partition goes by."""
        answer = {}
        for tp, offset in self._positions.items():
            if tp not in self._paused and offset < len(self._log[tp]):
                self._positions[tp] = offset + 1
                if self._log[tp][offset]:
                    answer[tp] = [Offset(offset)]
        return answer


ALERTS, LETTERS = "alerts", "letters"


async def test_record_of_a_partition_without_state_ends_the_process() -> None:
    """A committed record behind aborted ones is found, and its place named."""
    log = {TopicPartition(ALERTS, 3): [False, False], TopicPartition(LETTERS, 3): [False, True]}
    with pytest.raises(EngineError, match=r"letters partition 3 .* offset 1 ") as caught:
        await check_record(Committed(log), [ALERTS, LETTERS], {3, 5})
    assert caught.value.code is ExitCode.RECORD_WITHOUT_STATE


@pytest.mark.parametrize(
    ("log", "stateless"),
    [
        ({TopicPartition(ALERTS, 3): [True]}, set()),
        ({TopicPartition(ALERTS, 3): [True]}, {4}),
        ({}, {3}),
        ({TopicPartition(ALERTS, 3): [False, False, False]}, {3}),
    ],
)
async def test_partition_with_state_or_without_committed_records_may_begin(
    log: dict[TopicPartition, list[bool]], stateless: set[int]
) -> None:
    """State, an empty topic, or what a killed worker's first transaction left, is no obstacle."""
    await check_record(Committed(log), [ALERTS], stateless)
