"""What the city's authorities write down and send: records with source keys and versions (记录)."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import Message
from market_supervision.common.v1.envelope_pb2 import (
    Disposition,
    EventEnvelope,
)

from services.contracts.families import BODY_ONEOF, FAMILIES, Family, FamilyEvent, family_of
from services.synthetic import codes
from services.synthetic.days import CITY_OFFSET_MINUTES
from services.synthetic.entities import Entity

SOURCE_SYSTEMS: dict[str, str] = {
    "registration": "synthetic-registry",
    "inspections": "synthetic-inspection",
    "complaints": "synthetic-12315",
    "penalties": "synthetic-casework",
}
"""Invented upstream system of each family."""

_ARM_OF_BODY: dict[str, tuple[Family, str]] = {
    family.body_full_name(arm): (family, arm) for family in FAMILIES for arm in family.arms
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One version of one record, ready for an intake, and when the authority sends it (报送)."""

    family: str
    arrives: datetime
    event: FamilyEvent

    @property
    def source_key(self) -> tuple[str, str, int]:
        """Source system, record and version: unique in a city."""
        envelope = self.event.envelope
        return envelope.source_system, envelope.source_record_id, envelope.source_version


class Records:
    """Collects submissions up to a horizon; what would be sent later has not happened yet."""

    def __init__(self, horizon: datetime) -> None:
        self._horizon = horizon
        self._submissions: list[Submission] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def number(self, family: str, entity: Entity, letter: str) -> str:
        """Return the next local number of an authority's file on an entity, such as `C000012-3`."""
        taken = self._numbers.get((family, entity.number), 0) + 1
        self._numbers[family, entity.number] = taken
        return f"{letter}{entity.number:06d}-{taken}"

    def matter(self, family: str, entity: Entity, letter: str) -> str:
        """Return a new matter id of an authority (事项号)."""
        return f"{SOURCE_SYSTEMS[family]}/{self.number(family, entity, letter)}"

    def state(
        self,
        entity: Entity,
        body: Message,
        *,
        matter: str,
        happened: datetime,
        arrives: datetime | None = None,
    ) -> FamilyEvent:
        """Write down a fact as version 1 of a new record and return the event.

        It is sent when it happens unless `arrives` says later.
        """
        family, arm = _ARM_OF_BODY[body.DESCRIPTOR.full_name]
        envelope = EventEnvelope(
            source_system=SOURCE_SYSTEMS[family.name],
            source_record_id=self.number(family.name, entity, "R"),
            source_version=1,
            disposition=Disposition.DISPOSITION_ASSERTED,
            entity_key=entity.key,
            matter_id=matter,
            utc_offset_minutes=CITY_OFFSET_MINUTES,
            reporting_unit=entity.town_code,
            division=codes.division(entity.town_code),
            industry=codes.industry(entity.trade.industry_code),
        )
        envelope.event_time.FromDatetime(happened)
        event = family.message_class(envelope=envelope)
        getattr(event, arm).CopyFrom(body)
        self._send(event, arrives or happened)
        return event

    def withdraw(self, event: FamilyEvent, arrives: datetime) -> FamilyEvent:
        """Take a record back: the next version, withdrawn and without a body (撤回)."""
        withdrawn = _next_version(event)
        withdrawn.envelope.disposition = Disposition.DISPOSITION_WITHDRAWN
        withdrawn.ClearField(BODY_ONEOF)
        self._send(withdrawn, arrives)
        return withdrawn

    def correct(
        self,
        event: FamilyEvent,
        arrives: datetime,
        *,
        body: Message | None = None,
        entity: Entity | None = None,
    ) -> FamilyEvent:
        """Correct a record: the next version with another body, or about another entity (更正)."""
        corrected = _next_version(event)
        if body is not None:
            _, arm = _ARM_OF_BODY[body.DESCRIPTOR.full_name]
            getattr(corrected, arm).CopyFrom(body)
        if entity is not None:
            corrected.envelope.entity_key.CopyFrom(entity.key)
        self._send(corrected, arrives)
        return corrected

    def _send(self, event: FamilyEvent, arrives: datetime) -> None:
        if arrives <= self._horizon:
            self._submissions.append(Submission(family_of(event).name, arrives, event))

    def in_order(self) -> Iterable[Submission]:
        """Return everything in the order in which it is sent; ties by event time and source key."""
        return sorted(
            self._submissions,
            key=lambda s: (s.arrives, s.event.envelope.event_time.ToNanoseconds(), s.source_key),
        )


def _next_version(event: FamilyEvent) -> FamilyEvent:
    following = deepcopy(event)
    following.envelope.source_version += 1
    return following
