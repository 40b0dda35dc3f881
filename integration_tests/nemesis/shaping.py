"""What a row changes about the submissions: late ones, a hot entity, events a bug stumbles over."""

import hashlib
import random
from collections.abc import Sequence
from copy import deepcopy

from market_supervision.common.v1.envelope_pb2 import EntityKey

from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.submissions import Item


def shaped(items: Sequence[Item], shape: LoadShape, seed: int) -> list[Item]:
    """Return the submissions as the load wants them."""
    rng = random.Random(f"shaped/{seed}")
    found = list(items)
    if shape.hot_share:
        hot = rng.choice(found).event.envelope.entity_key
        found = [_about(item, hot) if rng.random() < shape.hot_share else item for item in found]
    found = [item for item in found if rng.random() >= shape.untold_share]
    if shape.late_share:
        late = set(rng.sample(range(len(found)), int(len(found) * shape.late_share)))
        last = [found[n] for n in sorted(late)]
        rng.shuffle(last)
        found = [item for n, item in enumerate(found) if n not in late] + last
    for record_id in shape.deadly:
        place = rng.randrange(len(found) // 4, len(found) // 2)
        found.insert(place, _named(rng.choice(found), record_id))
    return found


def content_of(items: Sequence[Item], deadly: Sequence[str]) -> str:
    """Return a digest of what is submitted, whatever its order; deadly events come to nothing.

    Rounds of one content must come to one view, whatever is done to them.
    """
    sound = [item.event for item in items if item.event.envelope.source_record_id not in deadly]
    lines = sorted(event.SerializeToString(deterministic=True) for event in sound)
    return hashlib.sha256(b"".join(hashlib.sha256(line).digest() for line in lines)).hexdigest()


def _about(item: Item, entity_key: EntityKey) -> Item:
    event = deepcopy(item.event)
    event.envelope.entity_key.CopyFrom(entity_key)
    return Item(item.family, event)


def _named(item: Item, record_id: str) -> Item:
    event = deepcopy(item.event)
    event.envelope.source_record_id = record_id
    event.envelope.source_version = 1
    return Item(item.family, event)
