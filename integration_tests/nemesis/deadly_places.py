"""Where the records stand that a planted bug makes processes die on, which may be put aside."""

from collections.abc import Collection

from integration_tests.judge.history import Place
from integration_tests.system.support import read_topic
from services.contracts import topics
from services.contracts.families import FAMILIES


def deadly_places(bootstrap: str, source_records: Collection[str]) -> list[Place]:
    """Return the places of the records that `deadly_step` stumbles over, as it finds them."""
    if not source_records:
        return []
    names = [name.encode() for name in source_records]
    return [
        Place(topics.name(family.topic), raw.partition, raw.offset)
        for family in FAMILIES
        for raw in read_topic(bootstrap, family.topic)
        if any(name in (raw.value or b"") for name in names)
    ]
