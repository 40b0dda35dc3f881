"""Registration (登记注册): what each event type makes of its matter. Pure."""

from google.type.date_pb2 import Date
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.registration.v1 import registration_events_pb2 as events

from services.contracts.licence_standing import NO_END_DAY
from services.lifecycle.folding.facts import Draft, Fact, coded, day_of_date, enum_word

_TERMS_MAX = 8
_ENDS_MAX = 8


def _status(fact: Fact, draft: Draft) -> None:
    draft.status_facts.append(
        state_pb2.StatusFact(
            kind=fact.arm,
            event_time_ms=fact.event_time_ms,
            day=fact.day,
            slot_key=fact.slot_key,
            event_id=fact.event_id,
            matter_id=fact.matter_id,
        )
    )


def _address(fact: Fact, address: events.RegisteredAddress, draft: Draft) -> None:
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_ADDRESS, address.text)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_DIVISION, coded(address.division))


def _entity_type(value: int) -> str:
    return enum_word(events.EntityType, value, "ENTITY_TYPE_")


def entity_linked(fact: Fact, body: events.EntityLinked, draft: Draft) -> None:
    """The key names the entity of another key from now on (主体标识关联)."""
    draft.finish("registration", "linked")
    target = f"{body.to.scheme}:{body.to.value}"
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_LINKED_TO, target)


def entity_established(fact: Fact, body: events.EntityEstablished, draft: Draft) -> None:
    """The entity exists, with the particulars registered (设立登记)."""
    draft.finish("registration", "established")
    _status(fact, draft)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_NAME, body.name)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_ENTITY_TYPE, _entity_type(body.entity_type))
    draft.claim(
        fact, state_pb2.ATTRIBUTE_KIND_LEGAL_REPRESENTATIVE_KEY, body.legal_representative_key
    )
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_BUSINESS_SCOPE, body.business_scope)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_INDUSTRY, coded(body.industry))
    if body.HasField("registered_capital_amount_fen"):
        capital = str(body.registered_capital_amount_fen)
        draft.claim(fact, state_pb2.ATTRIBUTE_KIND_REGISTERED_CAPITAL_FEN, capital)
    _address(fact, body.address, draft)


def entity_changed(fact: Fact, body: events.EntityChanged, draft: Draft) -> None:
    """Registered particulars hold from now on; those not given stay as they were (变更登记)."""
    draft.finish("registration", "changed")
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_NAME, body.name)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_ENTITY_TYPE, _entity_type(body.entity_type))
    draft.claim(
        fact, state_pb2.ATTRIBUTE_KIND_LEGAL_REPRESENTATIVE_KEY, body.legal_representative_key
    )
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_BUSINESS_SCOPE, body.business_scope)
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_INDUSTRY, coded(body.industry))
    if body.HasField("registered_capital_amount_fen"):
        capital = str(body.registered_capital_amount_fen)
        draft.claim(fact, state_pb2.ATTRIBUTE_KIND_REGISTERED_CAPITAL_FEN, capital)
    _address(fact, body.address, draft)


def _licence(
    fact: Fact, reference: events.LicenceReference, draft: Draft
) -> state_pb2.LicenceState:
    if draft.licence is None:
        draft.licence = state_pb2.LicenceState(matter_id=fact.matter_id)
    licence = draft.licence
    licence.licence_type = coded(reference.licence_type) or licence.licence_type
    licence.licence_number = reference.licence_number or licence.licence_number
    return licence


def _term(
    fact: Fact, licence: state_pb2.LicenceState, from_date: Date | None, until: Date | None
) -> None:
    term = state_pb2.LicenceTerm(
        from_day=fact.day if from_date is None else day_of_date(from_date, "valid_from_date"),
        to_day=NO_END_DAY if until is None else day_of_date(until, "valid_until_date"),
        fact_day=fact.day,
    )
    terms = sorted([*licence.terms, term], key=lambda t: (t.to_day, t.from_day, t.fact_day))
    kept = sorted(terms[-_TERMS_MAX:], key=lambda t: (t.from_day, t.to_day, t.fact_day))
    del licence.terms[:]
    licence.terms.extend(kept)
    licence.to_day = max(t.to_day for t in kept)
    licence.ended_day, licence.ended_kind = 0, ""
    # As of the end of its day the term holds; an earlier day's end is kept for those between.
    ends = [end for end in licence.ends if end.fact_day < fact.day]
    del licence.ends[:]
    licence.ends.extend(ends)


def licence_granted(fact: Fact, body: events.LicenceGranted, draft: Draft) -> None:
    """The licence is valid for a term (许可核发)."""
    draft.finish("licence", "granted")
    _term(
        fact,
        _licence(fact, body.licence, draft),
        body.valid_from_date if body.HasField("valid_from_date") else None,
        body.valid_until_date if body.HasField("valid_until_date") else None,
    )


def licence_renewed(fact: Fact, body: events.LicenceRenewed, draft: Draft) -> None:
    """The licence is valid for a further term (许可延续)."""
    draft.finish("licence", "renewed")
    _term(
        fact,
        _licence(fact, body.licence, draft),
        body.valid_from_date if body.HasField("valid_from_date") else None,
        body.valid_until_date if body.HasField("valid_until_date") else None,
    )


def _end(fact: Fact, licence: state_pb2.LicenceState, kind: str, day: int) -> None:
    licence.ended_day, licence.ended_kind = day, kind
    licence.ends.add(kind=kind, ended_day=day, fact_day=fact.day)
    del licence.ends[:-_ENDS_MAX]


def licence_expired(fact: Fact, body: events.LicenceExpired, draft: Draft) -> None:
    """The source says the licence ran out (许可到期): ended the day after its last."""
    draft.finish("licence", "expired")
    licence = _licence(fact, body.licence, draft)
    if body.HasField("last_valid_date"):
        _end(fact, licence, "expired", day_of_date(body.last_valid_date, "last_valid_date") + 1)
    else:
        _end(fact, licence, "expired", fact.day + 1)


def licence_revoked(fact: Fact, body: events.LicenceRevoked, draft: Draft) -> None:
    """The licence was taken away as a sanction (许可吊销)."""
    draft.finish("licence", "revoked")
    _end(fact, _licence(fact, body.licence, draft), "revoked", fact.day)


def licence_cancelled(fact: Fact, body: events.LicenceCancelled, draft: Draft) -> None:
    """The licence ended without sanction (许可注销)."""
    draft.finish("licence", "cancelled")
    _end(fact, _licence(fact, body.licence, draft), "cancelled", fact.day)


def annual_report_filed(fact: Fact, body: events.AnnualReportFiled, draft: Draft) -> None:
    """The annual report of a year was filed (年度报告报送)."""
    draft.finish("registration", "annual_report_filed")
    draft.claim(fact, state_pb2.ATTRIBUTE_KIND_ANNUAL_REPORT_YEAR, str(body.report_year))


def _listing(fact: Fact, draft: Draft) -> state_pb2.ListingState:
    if draft.listing is None:
        draft.listing = state_pb2.ListingState(matter_id=fact.matter_id)
    return draft.listing


def abnormal_operations_listed(
    fact: Fact, body: events.AbnormalOperationsListed, draft: Draft
) -> None:
    """The entity is on the abnormal-operations list (列入经营异常名录)."""
    draft.begin("listing", "listed")
    listing = _listing(fact, draft)
    listing.reason = enum_word(
        events.AbnormalListingReason, body.reason, "ABNORMAL_LISTING_REASON_"
    )
    listing.listed_time_ms, listing.listed_day = fact.event_time_ms, fact.day
    listing.removed_time_ms, listing.removed_day = 0, 0
    draft.count(fact, state_pb2.COUNTER_ABNORMAL_LISTINGS)


def abnormal_operations_removed(
    fact: Fact, body: events.AbnormalOperationsRemoved, draft: Draft
) -> None:
    """The entity is off the abnormal-operations list (移出经营异常名录)."""
    ground = enum_word(events.AbnormalRemovalGround, body.ground, "ABNORMAL_REMOVAL_GROUND_")
    draft.finish("listing", "removed", ground)
    listing = _listing(fact, draft)
    listing.removed_time_ms, listing.removed_day = fact.event_time_ms, fact.day


def simple_deregistration_notice_published(
    fact: Fact, body: events.SimpleDeregistrationNoticePublished, draft: Draft
) -> None:
    """The notice of simple deregistration runs (简易注销公告)."""
    due = 0
    if body.HasField("notice_until_date"):
        due = day_of_date(body.notice_until_date, "notice_until_date")
    draft.begin("exit", "notice_published", due_day=due)
    _status(fact, draft)


def simple_deregistration_objected(
    fact: Fact, body: events.SimpleDeregistrationObjected, draft: Draft
) -> None:
    """Somebody objected: the simple procedure ends (简易注销异议)."""
    prefix = "DEREGISTRATION_OBJECTION_GROUND_"
    ground = enum_word(events.DeregistrationObjectionGround, body.ground, prefix)
    draft.finish("exit", "objected", ground)
    _status(fact, draft)


def simple_deregistration_notice_withdrawn(
    fact: Fact, body: events.SimpleDeregistrationNoticeWithdrawn, draft: Draft
) -> None:
    """The notice was taken back (撤销简易注销公告)."""
    outcome = "withdrawn_by_entity" if body.is_withdrawn_by_entity else "withdrawn_by_authority"
    draft.finish("exit", "notice_withdrawn", outcome)
    _status(fact, draft)


def entity_deregistered(fact: Fact, body: events.EntityDeregistered, draft: Draft) -> None:
    """The entity ceased to exist (注销登记)."""
    prefix = "DEREGISTRATION_PROCEDURE_"
    procedure = enum_word(events.DeregistrationProcedure, body.procedure, prefix)
    draft.finish("exit", "deregistered", procedure)
    _status(fact, draft)


def business_licence_revoked(fact: Fact, body: events.BusinessLicenceRevoked, draft: Draft) -> None:
    """The business licence was revoked; the entity persists until deregistered (吊销营业执照)."""
    prefix = "BUSINESS_LICENCE_REVOCATION_GROUND_"
    ground = enum_word(events.BusinessLicenceRevocationGround, body.ground, prefix)
    draft.finish("exit", "business_licence_revoked", ground)
    _status(fact, draft)


def business_suspended(fact: Fact, body: events.BusinessSuspended, draft: Draft) -> None:
    """The entity suspended its business at its own wish (歇业)."""
    due = 0
    if body.HasField("planned_until_date"):
        due = day_of_date(body.planned_until_date, "planned_until_date")
    draft.begin("suspension", "suspended", due_day=due)
    _status(fact, draft)


def business_resumed(fact: Fact, body: events.BusinessResumed, draft: Draft) -> None:
    """A suspended entity is in business again (恢复营业)."""
    draft.finish(
        "suspension",
        "resumed",
        enum_word(events.ResumptionGround, body.ground, "RESUMPTION_GROUND_"),
    )
    _status(fact, draft)
