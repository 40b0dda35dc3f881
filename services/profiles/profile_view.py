"""The profile of an entity as the world sees it, from the state as the stream keeps it. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from market_supervision.alerts.v1.alert_pb2 import Severity
from market_supervision.common.v1.envelope_pb2 import CodedValue
from market_supervision.common.v1.localized_text_pb2 import LocalizedText
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.lifecycle.v1.state_pb2 import EntityState
from market_supervision.profiles.v1 import entity_profile_pb2 as wire
from market_supervision.profiles.v1.entity_profile_service_pb2 import EntityProfileView

from services.contracts import registration_status
from services.contracts.identifiers import entity_resource_name, parse_key
from services.contracts.labels import Label
from services.profiles.licence_view import licence

OPEN_MATTERS_MAX = 8
CLOSED_MATTERS_MAX = 10

CodeLabels = Callable[[CodedValue, date], Label | None]
"""Returns the label of a code on a day, None when no table has it."""

_EPOCH = date(1970, 1, 1)
_COUNTER_PREFIX = "COUNTER_"
_SEVERITY_PREFIX = "SEVERITY_"

_ATTRIBUTES = {
    state_pb2.ATTRIBUTE_KIND_NAME: "name",
    state_pb2.ATTRIBUTE_KIND_ADDRESS: "address",
    state_pb2.ATTRIBUTE_KIND_LEGAL_REPRESENTATIVE_KEY: "legal_representative_key",
    state_pb2.ATTRIBUTE_KIND_BUSINESS_SCOPE: "business_scope",
    state_pb2.ATTRIBUTE_KIND_REGISTERED_CAPITAL_FEN: "registered_capital_fen",
    state_pb2.ATTRIBUTE_KIND_INDUSTRY: "industry",
    state_pb2.ATTRIBUTE_KIND_DIVISION: "division",
    state_pb2.ATTRIBUTE_KIND_ENTITY_TYPE: "entity_type",
    state_pb2.ATTRIBUTE_KIND_ANNUAL_REPORT_YEAR: "latest_annual_report_year",
}
"""Attribute of the state → field of the registration section."""

_CODED_ATTRIBUTES = ("industry", "division")


def profile(
    state: EntityState,
    *,
    root_key: str,
    linked_keys: Sequence[str],
    view: EntityProfileView.ValueType,
    today: date,
    code_labels: CodeLabels,
) -> wire.EntityProfile:
    """Return the profile of an entity (统一主体画像).

    ``root_key``: canonical key that stands for it; ``linked_keys``: its other keys. ``today``: the
    civil day of the answer in the zone of the key's scheme; validity is as of that day.
    """
    entity_key = parse_key(root_key)
    today_number = (today - _EPOCH).days
    # Open matters come last in the state, the latest last of all.
    matters = list(reversed(state.matters))
    made = wire.EntityProfile(
        name=entity_resource_name(entity_key),
        entity_key=entity_key,
        linked_keys=sorted(linked_keys),
        registration=_registration(state),
        listings=[_listing(listing) for listing in reversed(state.listings)],
        licences=[licence(item, today_number) for item in reversed(state.licences)],
        open_matters=[_matter(m) for m in matters if m.open][:OPEN_MATTERS_MAX],
        open_alerts=[_open_alert(alert) for alert in state.open_alerts],
        open_alert_count=_open_alert_count(state),
        first_event_time=_optional_time(state.first_event_time_ms),
        last_event_time=_optional_time(state.last_event_time_ms),
    )
    if view == EntityProfileView.ENTITY_PROFILE_VIEW_FULL:
        made.closed_matters.extend([_matter(m) for m in matters if not m.open][:CLOSED_MATTERS_MAX])
        made.inspections.extend(_inspection(item) for item in reversed(state.inspections))
        made.penalties.extend(_penalty(item) for item in reversed(state.penalties))
        made.totals.extend(sorted(map(_total, state.totals), key=lambda total: total.name))
    made.code_labels.extend(_code_labels(made, today, code_labels))
    return made


def timestamp(milliseconds: int) -> Timestamp:
    """Return a time given in milliseconds since 1970-01-01 UTC."""
    made = Timestamp()
    made.FromMilliseconds(milliseconds)
    return made


def _optional_time(milliseconds: int) -> Timestamp | None:
    return timestamp(milliseconds) if milliseconds else None


def _registration(state: EntityState) -> wire.RegistrationSection:
    standing = registration_status.standing(state.registration_facts)
    section = wire.RegistrationSection(status=standing.status)
    if standing.fact is not None:
        section.status_since_time.CopyFrom(timestamp(standing.fact.event_time_ms))
        section.status_event_id = standing.fact.event_id
    for claim in _holding_claims(state.claims):
        attribute = wire.Attribute(
            value=claim.value,
            since_time=timestamp(claim.event_time_ms),
            event_id=claim.event_id,
        )
        getattr(section, _ATTRIBUTES[claim.attribute]).CopyFrom(attribute)
    section.facts.extend(
        wire.RegistrationFact(
            kind=fact.kind,
            event_time=timestamp(fact.event_time_ms),
            event_id=fact.event_id,
            matter_id=fact.matter_id,
        )
        for fact in reversed(state.registration_facts)
    )
    return section


def _holding_claims(
    claims: Iterable[state_pb2.AttributeClaim],
) -> Iterable[state_pb2.AttributeClaim]:
    """Return the claim that holds of each known attribute: the last one, as the state sorts them.

    Of annual reports the latest year holds, not the latest filed: an old one may be filed late.
    """
    holding: dict[int, state_pb2.AttributeClaim] = {}
    for claim in claims:
        if claim.attribute not in _ATTRIBUTES:
            continue
        earlier = holding.get(claim.attribute)
        if (
            claim.attribute == state_pb2.ATTRIBUTE_KIND_ANNUAL_REPORT_YEAR
            and earlier is not None
            and (len(earlier.value), earlier.value) > (len(claim.value), claim.value)
        ):
            continue
        holding[claim.attribute] = claim
    return holding.values()


def _listing(listing: state_pb2.ListingState) -> wire.Listing:
    return wire.Listing(
        matter_id=listing.matter_id,
        reason=listing.reason,
        listed_time=_optional_time(listing.listed_time_ms),
        removed_time=_optional_time(listing.removed_time_ms),
    )


def _matter(matter: state_pb2.MatterDigest) -> wire.MatterSummary:
    summary = wire.MatterSummary(
        matter_id=matter.matter_id,
        kind=matter.kind,
        stage=matter.stage,
        open=matter.open,
        opened_time=timestamp(matter.opened_time_ms),
        last_event_time=timestamp(matter.last_time_ms),
        outcome=matter.outcome,
    )
    if matter.due_day:
        due = _EPOCH + timedelta(days=matter.due_day)
        summary.due_date.CopyFrom(Date(year=due.year, month=due.month, day=due.day))
    return summary


def _inspection(item: state_pb2.InspectionDigest) -> wire.InspectionSummary:
    return wire.InspectionSummary(
        matter_id=item.matter_id,
        kind=item.kind,
        event_time=timestamp(item.event_time_ms),
        result=item.result,
        findings=item.findings,
        worst_severity=item.worst_severity,
        place_type=item.place_type,
    )


def _penalty(item: state_pb2.PenaltyDigest) -> wire.PenaltySummary:
    return wire.PenaltySummary(
        matter_id=item.matter_id,
        decided_time=timestamp(item.decided_time_ms),
        violation_code=item.violation_code,
        kinds=item.kinds,
        fine_amount_fen=item.fine_amount_fen,
        fine_paid=item.fine_paid,
        published=item.published,
        credit_repair=item.credit_repair,
    )


def _total(item: state_pb2.CounterSum) -> wire.Total:
    name = state_pb2.Counter.Name(item.counter).removeprefix(_COUNTER_PREFIX).lower()
    return wire.Total(name=f"{name}:{item.code}" if item.code else name, value=item.sum)


def _open_alert(item: state_pb2.AlertReference) -> wire.OpenAlert:
    severity = Severity.Name(item.severity).removeprefix(_SEVERITY_PREFIX).lower()
    return wire.OpenAlert(alert_id=item.alert_id, rule_id=item.rule_id, severity=severity)


def _open_alert_count(state: EntityState) -> int:
    counted = sum(t.sum for t in state.totals if t.counter == state_pb2.COUNTER_OPEN_ALERTS)
    return max(counted, len(state.open_alerts))


def _code_labels(
    made: wire.EntityProfile, today: date, code_labels: CodeLabels
) -> list[wire.CodeLabel]:
    texts = {getattr(made.registration, field).value for field in _CODED_ATTRIBUTES}
    texts |= {item.licence_type for item in made.licences}
    texts |= {item.violation_code for item in made.penalties}
    labelled = []
    for text in sorted(texts):
        # A code system's name may hold blanks (`GB/T 2260`), a code does not.
        system, _, code = text.rpartition(" ")
        coded = CodedValue(code_system=system, code=code)
        label = code_labels(coded, today) if system and code else None
        if label is not None:
            labelled.append(
                wire.CodeLabel(code=coded, label=LocalizedText(zh=label.zh, en=label.en))
            )
    return labelled
