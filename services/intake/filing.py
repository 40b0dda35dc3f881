"""Under which entity key an event is filed (归集)."""

from typing import Final

from market_supervision.common.v1.envelope_pb2 import Disposition

from services.contracts.families import FamilyEvent, arm_of
from services.intake.index import IntakeIndex
from services.intake.links import Links
from services.intake.placement import slot_bytes

KEYED_AS_SENT: Final = frozenset({"entity_linked"})
"""Bodies about the key itself: a link is filed under the key that it gives up."""


class Filing:
    """Files new events under the root of their entity's links."""

    def __init__(self, links: Links, index: IntakeIndex) -> None:
        self._links = links
        self._index = index

    def __call__(self, event: FamilyEvent, sent_key: str) -> str:
        """Return the canonical key under which ``event``, sent with ``sent_key``, is filed.

        A withdrawal, with a body or without, takes back what was said before; it goes where that
        stands.
        """
        if arm_of(event) in KEYED_AS_SENT:
            return sent_key
        envelope = event.envelope
        if envelope.disposition == Disposition.DISPOSITION_WITHDRAWN:
            slot = slot_bytes(envelope.source_system, envelope.source_record_id)
            stands_at = [
                place
                for place in self._index.places(slot)
                if place.version
                and place.matter_id == envelope.matter_id
                and sent_key in (place.entity_key, place.submitted_key)
            ]
            if stands_at:
                return max(stands_at, key=lambda place: place.version).entity_key
        return self._links.root_of(sent_key)
