"""What a rule looks at when something changed: the entity, a matter, or licences. Pure."""

from collections.abc import Iterable

from market_supervision.lifecycle.v1 import state_pb2

from services.lifecycle.rules.rule import CompiledRule
from services.lifecycle.view import Change, EntityView


def subjects_of(rule: CompiledRule, view: EntityView, change: Change) -> list[str | None]:
    """Return the matter ids to look at, sorted; None stands for the entity itself."""
    match rule.row.scope:
        case "ENTITY":
            return [None]
        case "MATTER":
            return [change.matter_id]
    return [*_licences(view, change)]


def _licences(view: EntityView, change: Change) -> list[str]:
    licences = view.all_licences()
    matter = view.matter(change.matter_id)
    if matter is not None and matter.licence is not None:
        # Another licence of its type may have become, or ceased to be, the one that replaces; so
        # may one of the type that it had before a correction.
        chosen = {change.matter_id} | _of_type(licences, matter.licence.licence_type)
        if change.licence_type_before:
            chosen |= _of_type(licences, change.licence_type_before)
    elif matter is None:
        # All facts of the matter are gone; what it was cannot be asked any more.
        chosen = {change.matter_id} | {licence.matter_id for licence in licences}
    else:
        chosen = {licence.matter_id for licence in licences}
        if change.licence_type_before:
            # It was a licence until now, and what was said of it has to be taken back.
            chosen.add(change.matter_id)
    return sorted(chosen)


def _of_type(licences: Iterable[state_pb2.LicenceState], licence_type: str) -> set[str]:
    return {licence.matter_id for licence in licences if licence.licence_type == licence_type}
