"""How fresh an answer is with respect to each source, told from what the projection passed. Pure.

A source record counts as contained only when a META record that names it was passed in *both* the
state topic and the timeline topic: until then its unit may be visible by half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.readmodel.positions import Heads, decode_heads
from services.streaming import meta
from services.streaming.meta import Applied

UNKNOWN_LAG_RECORDS = -1
_NOTHING = Applied(next_offset=0, append_time_ms=0)


@dataclass(frozen=True, slots=True)
class PartitionReading:
    """What Redis knows of one partition: the older of its METAs, and the ends of its sources."""

    applied: Mapping[str, Applied]
    heads: Heads | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Freshness of one source topic in one partition.

    ``current_as_of_ms``: everything appended up to then is contained; 0 when nothing is known.
    ``lag_records``: -1 when not known. ``last_append_ms``: 0 when the source never sent anything.
    """

    topic: str
    current_as_of_ms: int
    lag_records: int
    next_offset: int
    last_append_ms: int

    def lag_seconds(self, now_ms: int) -> float:
        """Seconds by which the answer is behind; 0 when the clocks disagree the other way."""
        return max(0, now_ms - self.current_as_of_ms) / 1000


def reading(values: Sequence[bytes | None]) -> PartitionReading:
    """Return what the fields of `positions.freshness_fields` say; MetaError, RecordError if bad."""
    lifecycle, timeline, heads = values
    applied: dict[str, Applied] = {}
    if lifecycle is not None and timeline is not None:
        state, entries = meta.decode(lifecycle).applied, meta.decode(timeline).applied
        for topic in state.keys() & entries.keys():
            applied[topic] = min(state[topic], entries[topic], key=lambda a: a.next_offset)
    return PartitionReading(applied, None if heads is None else decode_heads(heads))


def of_topic(partition: PartitionReading, topic: str) -> Freshness:
    """Return the freshness of one source topic.

    Read to its end, a source is current as of the moment its end was asked for, however long it
    has been silent; a projection that stops asking makes that moment grow old.
    """
    applied = partition.applied.get(topic, _NOTHING)
    end = None if partition.heads is None else partition.heads.ends.get(topic)
    current_as_of_ms = applied.append_time_ms
    lag_records = UNKNOWN_LAG_RECORDS
    if partition.heads is not None and end is not None:
        lag_records = max(0, end - applied.next_offset)
        if lag_records == 0:
            current_as_of_ms = max(partition.heads.asked_ms, applied.append_time_ms)
    return Freshness(
        topic=topic,
        current_as_of_ms=current_as_of_ms,
        lag_records=lag_records,
        next_offset=applied.next_offset,
        last_append_ms=applied.append_time_ms,
    )
