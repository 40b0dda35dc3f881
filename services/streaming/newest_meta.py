"""Read where partitions stand: the newest committed META of each, from the end of a changelog."""

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.streaming.meta import META_KEY, Meta, decode

_TAIL_OFFSETS = 64
_TAIL_FACTOR = 16


def committed_consumer(bootstrap: str) -> AIOKafkaConsumer:
    """Return a reader of committed records without a group, not started."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
    )


async def newest_metas(
    consumer: AIOKafkaConsumer, topic: str, numbers: Sequence[int]
) -> dict[int, Meta]:
    """Return the newest committed META of each partition that has one.

    Read from the end backwards, a little more each time. ``consumer`` reads committed records and
    is assigned anew.
    """
    wanted = {TopicPartition(topic, number) for number in numbers}
    found: dict[int, Meta] = {}
    ends = await consumer.end_offsets(list(wanted)) if wanted else {}
    begins = await consumer.beginning_offsets(list(wanted)) if wanted else {}
    span = _TAIL_OFFSETS
    while wanted:
        starts = {tp: max(begins[tp], ends[tp] - span) for tp in wanted}
        found |= await _read_metas(consumer, starts, ends)
        wanted = {tp for tp in wanted if tp.partition not in found and starts[tp] > begins[tp]}
        span *= _TAIL_FACTOR
    return found


async def _read_metas(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[int, Meta]:
    newest: dict[int, Meta] = {}
    unread = {tp for tp, start in starts.items() if start < ends[tp]}
    if not unread:
        return newest
    consumer.assign(sorted(unread))
    for tp in unread:
        consumer.seek(tp, starts[tp])
    while unread:
        answer = await consumer.getmany(timeout_ms=100)
        for tp, records in answer.items():
            for record in records:
                if record.key == META_KEY and record.offset < ends[tp]:
                    newest[tp.partition] = decode(record.value)
        for tp in list(unread):
            if await consumer.position(tp) >= ends[tp]:
                unread.discard(tp)
                consumer.pause(tp)
    return newest
