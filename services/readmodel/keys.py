"""Names of everything in Redis.

A *generation* is one read model built from one set of topics in one form of records: it is named
after both, so that recreated topics, or a release that writes records in another form, make a new
generation beside the old one. Per generation, with ``<g>`` its name:

    <namespace>:serving:<form>    name of the generation that answers, `@`, and the run of Redis in
                                  which it was found complete; absent, or of another run: none is.
                                  One for each form of records (see `record.FORMAT`): a query side
                                  of another release must not take this form for its own
    <namespace>:generations       sorted set of the generations that hold data, by ordinal: the
                                  moment at which one was first registered (µs of Redis' clock)
    <namespace>:promoted          ordinal, `@`, name of the newest generation that ever answered,
                                  of whatever form: none below it answers or is written any more
    <namespace>:superseded        the same as `generations`, of those that were deleted since
    <namespace>:<g>:pos           hash: positions, completeness, META, heads (see positions)
    <namespace>:<g>:e:<entity>    record of EntityState
    <namespace>:<g>:a:<alert id>  record of AlertThread
    <namespace>:<g>:l:<from key>  record of LinkRecord
    <namespace>:<g>:t:<entity>    sorted set of timeline pointers, in time order
    <namespace>:<g>:o:<entity>    hash: entry hash → time and offset of its pointer
    <namespace>:<g>:n:<entity>    hash: entry hash → offset and bytes, of the newest entries
    <namespace>:<g>:x:<index>     sorted set: an index over the records above
    <namespace>:<g>:w:<write>     the run of Redis in which a write began; gone when it is over
"""

import hashlib
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from services.contracts.topics import PARTITIONS
from services.readmodel.record import FORMAT

NAMESPACE_DEFAULT = "ms"
GENERATION_CHARACTERS = 8
FORM_OF_FIRST_KEY = 3
"""The first form of records with a key `serving` of its own."""

ENTITIES_INDEX = "entities:{partition}"
"""All entities of a partition that have a state or a timeline."""
LINKS_INDEX = "links"
"""All keys that have a link record."""
ALIASES_INDEX = "aliases:{root}"
"""The keys linked directly to one key."""


def generation_name(topic_ids: dict[str, str]) -> str:
    """Return the name of the generation built from these topics (short name → topic id)."""
    text = ",".join(f"{topic}={topic_ids[topic]}" for topic in sorted(topic_ids))
    text += f",format={FORMAT}"
    return hashlib.sha256(text.encode()).hexdigest()[:GENERATION_CHARACTERS]


def generation_in(serving: bytes) -> str:
    """Return the generation that the key `serving` names."""
    return serving.partition(b"@")[0].decode()


def partition_of(entity_key: str) -> int:
    """Return the partition of an entity: the clients' own partitioner over its canonical key."""
    return int(murmur2(entity_key.encode()) & 0x7FFFFFFF) % PARTITIONS


@dataclass(frozen=True, slots=True)
class Keys:
    """Builds the names of one generation."""

    generation: str
    namespace: str = NAMESPACE_DEFAULT

    @property
    def serving(self) -> str:
        """Name of the generation that answers; the same key for all generations of one form."""
        return f"{self.namespace}:serving:{FORMAT}"

    @property
    def serving_before(self) -> list[str]:
        """The same of earlier forms, whose data goes when this one serves."""
        former = [f"{self.namespace}:serving:{form}" for form in range(FORM_OF_FIRST_KEY, FORMAT)]
        return [f"{self.namespace}:serving", *former]

    @property
    def generations(self) -> str:
        """Sorted set of generations with data; the same key for all generations."""
        return f"{self.namespace}:generations"

    @property
    def promoted(self) -> str:
        """Ordinal and name of the newest generation that ever answered; one for all forms."""
        return f"{self.namespace}:promoted"

    @property
    def superseded(self) -> str:
        """Sorted set of the generations that were deleted since a newer one answers."""
        return f"{self.namespace}:superseded"

    @property
    def positions(self) -> str:
        """Hash of positions."""
        return self._of("pos")

    @property
    def index_prefix(self) -> str:
        """What stands before the name of an index."""
        return self._of("x:")

    def entity(self, entity_key: str) -> str:
        """Record of an entity's state."""
        return self._of(f"e:{entity_key}")

    def alert(self, alert_id: str) -> str:
        """Record of an alert thread."""
        return self._of(f"a:{alert_id}")

    def link(self, from_key: str) -> str:
        """Record of a link."""
        return self._of(f"l:{from_key}")

    def timeline(self, entity_key: str) -> str:
        """Pointers of an entity's timeline."""
        return self._of(f"t:{entity_key}")

    def timeline_offsets(self, entity_key: str) -> str:
        """Entry hash → pointer."""
        return self._of(f"o:{entity_key}")

    def timeline_newest(self, entity_key: str) -> str:
        """Bytes of the newest entries."""
        return self._of(f"n:{entity_key}")

    def write_mark(self, write: str) -> str:
        """Mark of a write that is under way."""
        return self._of(f"w:{write}")

    def index(self, name: str) -> str:
        """Sorted set of an index."""
        return self.index_prefix + name

    def entities(self, partition: int) -> str:
        """Index of a partition's entities."""
        return self.index(ENTITIES_INDEX.format(partition=partition))

    def aliases(self, root: str) -> str:
        """Index of the keys linked directly to ``root``."""
        return self.index(ALIASES_INDEX.format(root=root))

    def _of(self, suffix: str) -> str:
        return f"{self.namespace}:{self.generation}:{suffix}"
