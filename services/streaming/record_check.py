"""Refuse to begin from nothing where something was already written for ever.

A partition without state folds its sources from the beginning: hours of work, after a loss that
somebody should know of. So it must be somebody's decision, see `rebuilding`.
"""

from collections.abc import Collection, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.streaming.exits import EngineError, ExitCode


async def check_record(
    consumer: AIOKafkaConsumer, topics: Sequence[str], stateless: Collection[int]
) -> None:
    """Check that no guarded topic holds committed records of a partition without state.

    ``consumer`` reads committed records and is assigned anew here. What a killed worker's aborted
    transaction left behind takes offsets, but is no record.

    Raises:
        EngineError: RECORD_WITHOUT_STATE, naming topic and partition.
    """
    wanted = [TopicPartition(topic, number) for topic in topics for number in sorted(stateless)]
    if not wanted:
        return
    begins = await consumer.beginning_offsets(wanted)
    ends = await consumer.end_offsets(wanted)
    unread = {tp for tp in wanted if begins[tp] < ends[tp]}
    if not unread:
        return
    consumer.assign(sorted(unread))
    for tp in unread:
        consumer.seek(tp, begins[tp])
    while unread:
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=1)).items():
            if records:
                raise EngineError(
                    ExitCode.RECORD_WITHOUT_STATE,
                    f"{tp.topic} partition {tp.partition} holds records from offset "
                    f"{records[0].offset} on, but its state is empty: a rebuild has to be asked "
                    "for, see `msctl rebuild` (状态为空而记录已存在，须由人决定重建)",
                )
        for tp in list(unread):
            if await consumer.position(tp) >= ends[tp]:
                unread.discard(tp)
                consumer.pause(tp)
