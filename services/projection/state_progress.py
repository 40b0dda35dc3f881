"""Whether the state that is projected is whole, or still being folded from the record. Pure.

A state topic that was made anew is empty, and a read model of it would be complete at once: every
entity "not found". So a partition counts as complete only when its newest META says that nothing is
being rebuilt any more; without any META, only when there is nothing to fold.
"""

from collections.abc import Mapping

from services.readmodel.positions import LIFECYCLE, Heads
from services.readmodel.writer import TopicBatch
from services.streaming import meta


class StateProgress:
    """What is known of each partition's state: its newest META, the ends of its sources."""

    def __init__(self) -> None:
        self._rebuilding: dict[int, bool] = {}
        self._empty_sources: dict[int, bool] = {}

    def begin(self, metas: Mapping[int, bytes | None]) -> None:
        """Begin with the METAs the read model has passed, by partition."""
        self._rebuilding = {
            partition: meta.decode(value).rebuild is not None
            for partition, value in metas.items()
            if value is not None
        }

    def note_sources(self, heads: Mapping[int, Heads]) -> None:
        """Learn how far the source topics reach."""
        for partition, head in heads.items():
            self._empty_sources[partition] = not any(head.ends.values())

    def is_whole_after(self, batch: TopicBatch) -> bool:
        """Tell whether nothing of a place's state is missing once ``batch`` is written.

        Always true of other topics than the state's.

        Raises MetaError when the batch's META cannot be understood.
        """
        if batch.topic != LIFECYCLE:
            return True
        if batch.meta is not None:
            self._rebuilding[batch.partition] = meta.decode(batch.meta).rebuild is not None
        if batch.partition in self._rebuilding:
            return not self._rebuilding[batch.partition]
        return self._empty_sources.get(batch.partition, False)
