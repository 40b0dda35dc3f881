"""The city while it is being told: who is in it, what was recorded, what must follow (城市编年)."""

from dataclasses import dataclass
from datetime import date, datetime

from services.synthetic import entities
from services.synthetic.acts import registration
from services.synthetic.acts.registration import Licence
from services.synthetic.days import after, moment
from services.synthetic.entities import Entity, Trade
from services.synthetic.expectations import AlertEnd, ExpectedAlert, NearMiss
from services.synthetic.records import Records

LICENCE_TERM_DAYS = 5 * 365
OPENING_DAYS = 60
"""Entities open within this many days of the start; then their stories may begin."""
CLEARING_DAYS = 2
"""Withdrawals and corrections that close a warning come within the last days of the city."""


@dataclass(frozen=True, slots=True)
class Business:
    """An open business: the entity and the licence it trades under, where it needs one."""

    entity: Entity
    licence: Licence | None

    def held_licence(self) -> Licence:
        """Return the licence; raise ValueError where the trade needs none."""
        if self.licence is None:
            message = f"{self.entity.name} needs no licence"
            raise ValueError(message)
        return self.licence


class Chronicle:
    """Collects records and expectations of one city, entity by entity."""

    def __init__(self, seed: int, start: date, present: date, first_number: int) -> None:
        self.seed = seed
        self.start = start
        self.present = present
        self.records = Records(moment(present, 23, 59))
        self.expected: list[ExpectedAlert] = []
        self.near_misses: list[NearMiss] = []
        self.entities: list[Entity] = []
        self._first_number = first_number

    @property
    def clearing(self) -> datetime:
        """When withdrawals and corrections that close warnings are sent."""
        return moment(after(self.present, 1 - CLEARING_DAYS), 9)

    def invent(self, trade: Trade) -> Entity:
        """Return the next entity, about which nothing is on record yet."""
        number = self._first_number + len(self.entities)
        entity = entities.invent(self.seed, number, trade)
        self.entities.append(entity)
        return entity

    def open(self, trade: Trade, last_day: date | None = None) -> Business:
        """Return a business established near the start, licensed to `last_day`, else five years."""
        entity = self.invent(trade)
        opened = after(self.start, entity.rng.randrange(OPENING_DAYS - 10))
        registration.establish(self.records, entity, opened)
        if not trade.licence_type:
            return Business(entity, None)
        until = last_day or after(opened, LICENCE_TERM_DAYS)
        granted = registration.grant(self.records, entity, after(opened, 6), until)
        return Business(entity, granted)

    def expect(
        self,
        rule: str,
        entity: Entity,
        episode_key: str,
        fact_day: date,
        cause: str,
        end: AlertEnd = AlertEnd.OPEN,
    ) -> None:
        """State a warning that must follow; raise ValueError when its day is not over yet."""
        if fact_day > self.present:
            message = f"{rule} of {entity.canonical_key} on {fact_day}: after {self.present}"
            raise ValueError(message)
        self.expected.append(
            ExpectedAlert(rule, entity.canonical_key, episode_key, end, fact_day, cause)
        )

    def nearly(self, rule: str, entity: Entity, cause: str) -> None:
        """State a warning that must not follow although it comes close."""
        self.near_misses.append(NearMiss(rule, entity.canonical_key, cause))
