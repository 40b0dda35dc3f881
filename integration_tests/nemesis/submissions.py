"""What the clients submit: a seeded piece of the synthetic city's two years."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from market_supervision.common.v1.envelope_pb2 import EntityKey

from services.contracts.families import FamilyEvent
from services.contracts.identifiers import canonical_key
from services.runtime import clock
from services.synthetic.city import City, CityArguments, build_city
from services.synthetic.days import CITY_ZONE
from services.synthetic.records import Submission

ENTITIES = 2_000
CITY_SEED = 7
NEIGHBOURS = 40
"""Submissions change places with those that are at most so far away: families overtake one another.
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One event to be submitted, and the family whose intake takes it."""

    family: str
    event: FamilyEvent

    @property
    def entity(self) -> str:
        """Canonical key of its entity."""
        key: EntityKey = self.event.envelope.entity_key
        return canonical_key(key)


@cache
def _city(present: date) -> City:
    return build_city(CityArguments(seed=CITY_SEED, present=present, entities=ENTITIES))


def draw_submissions(seed: int, count: int) -> list[Item]:
    """Draw ``count`` submissions: those that cause alerts, or nearly do, and a sample of the rest.

    In the order in which the city sends them, but for small overtakings.
    """
    yesterday = clock.utc_now().astimezone(CITY_ZONE).date() - timedelta(days=1)
    city = _city(yesterday)
    storied = {alert.entity_key for alert in city.expected}
    storied |= {near_miss.entity_key for near_miss in city.near_misses}
    rng = random.Random(f"submissions/{seed}")
    stories = {n for n, s in enumerate(city.submissions) if _key(s) in storied}
    others = [n for n in range(len(city.submissions)) if n not in stories]
    chosen = stories | set(rng.sample(others, max(0, count - len(stories))))
    places = sorted(chosen, key=lambda n: (n + rng.uniform(0, NEIGHBOURS), n))
    return [Item(city.submissions[n].family, city.submissions[n].event) for n in places]


def entities_of(items: Sequence[Item]) -> list[str]:
    """Return the entities of submissions, sorted."""
    return sorted({item.entity for item in items})


def _key(submission: Submission) -> str:
    return canonical_key(submission.event.envelope.entity_key)
