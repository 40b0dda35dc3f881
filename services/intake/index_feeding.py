"""Feeds the intake index from the tail of its topic."""

from collections.abc import Callable, Mapping, Sequence

from aiokafka import ConsumerRecord

from services.contracts.families import Family
from services.intake.decoding import tail_record
from services.intake.index import IntakeIndex
from services.intake.tail import Position
from services.runtime.logging import get_logger

log = get_logger(__name__)


class IndexFeeder:
    """The reader (``tail.Reader``) behind the index of one instance."""

    def __init__(
        self, family: Family, index: IntakeIndex, notice_moves: Callable[[Sequence[bytes]], None]
    ) -> None:
        """``notice_moves`` is told the slots that came to need a MOVED record."""
        self._family = family
        self._index = index
        self._notice_moves = notice_moves

    def position(self, partition: int) -> int:
        """See tail.Reader.position."""
        return self._index.position(partition)

    def restart(self) -> None:
        """See tail.Reader.restart."""
        log.warning("intake_index_ahead_of_log", family=self._family.name)
        self._index.wipe()

    def take(self, records: Sequence[ConsumerRecord], positions: Mapping[int, Position]) -> None:
        """See tail.Reader.take."""
        known = [tail_record(self._family, record) for record in records]
        applied = self._index.apply((each for each in known if each is not None), positions)
        if applied.slots_with_moves:
            self._notice_moves(applied.slots_with_moves)
        if applied.contested_slots:
            # Two instances accepted contradictory contents of one version under two keys or
            # matters at the same moment; neither can be told from the other by its version.
            log.error(
                "source_version_in_two_places",
                family=self._family.name,
                slots=len(applied.contested_slots),
            )
        unreadable = sum(each is None for each in known)
        if unreadable:
            log.warning("foreign_records_on_topic", family=self._family.name, records=unreadable)
