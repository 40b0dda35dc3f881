"""Let aiokafka's parser make the engine's own records.

It makes a record of its own for each, and the engine would have to copy it: that took a third of
the processor time of delivery, and of recovery. Relies on private parts of aiokafka; guards.py
watches them.
"""

# ruff: noqa: SLF001

from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult

from services.streaming.interface import SourceRecord


def source_records_of(fetcher: Fetcher) -> None:
    """Make everything ``fetcher`` hands out from now on SourceRecords; nothing is fetched yet."""
    handle = fetcher._proc_fetch_request

    async def parsed(assignment: Any, node: int, request: Any) -> bool:
        brought: bool = await handle(assignment, node, request)
        for result in fetcher._records.values():
            parse_as_source_records(result)
        return brought

    fetcher._proc_fetch_request = parsed


def parse_as_source_records(result: object) -> None:
    """Make what is buffered of a topic-partition SourceRecords. No record may be taken yet."""
    if isinstance(result, FetchResult) and result.has_more():
        result._partition_records._consumer_record = source_record


def source_record(tp: TopicPartition, record: Any) -> SourceRecord:
    """Make the engine's record of a record as aiokafka's parser gives it."""
    # Called for every record: the class's own constructor takes twice as long.
    return tuple.__new__(
        SourceRecord,
        (
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        ),
    )
