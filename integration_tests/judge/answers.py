"""O6: no caller ever saw an entity go back, and at rest the answer is the view."""

from collections.abc import Mapping
from datetime import UTC, datetime

import grpc
from market_supervision.lifecycle.v1 import state_pb2
from market_supervision.profiles.v1 import entity_profile_service_pb2 as messages
from market_supervision.profiles.v1.entity_profile_pb2 import (
    EntityProfile,
    LicenceStatus,
    MatterSummary,
)
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.judge.answer_log import Answer
from integration_tests.judge.reference.entity import LISTS, Picture, shown, totals_of
from integration_tests.judge.reference.facts import civil_day
from integration_tests.judge.reference.licences import worth_on
from integration_tests.judge.rules.threads import OPEN, Threads
from integration_tests.judge.verdict import Verdict

ASKED_AT_ONCE = 100
_CALL_SECONDS = 30.0
MATTERS_OPEN_SHOWN = 8


def check_versions(answers: list[Answer], verdict: Verdict) -> None:
    """O6, during the run: what a caller saw of an entity never goes back, per source."""
    seen: dict[tuple[str, str, str, int], int] = {}
    for answer in answers:
        verdict.count(f"answers_{answer.code.lower()}")
        for family, (partition, next_offset) in answer.versions.items():
            key = answer.caller, answer.entity_key, family, partition
            before = seen.get(key, 0)
            if next_offset < before:
                pair = {"before": before, "after": next_offset}
                verdict.add("O6", "an answer older than the one before it", of=key, **pair)
            seen[key] = max(before, next_offset)
    verdict.made("O6 versions")


def check_profiles(
    address: str,
    pictures: Mapping[str, Picture],
    threads: Mapping[str, Threads],
    verdict: Verdict,
) -> None:
    """O6, at rest: the profile of every entity that no link leads away from is its view."""
    roots = [key for key, drawn in pictures.items() if not _linked_to(drawn)]
    with grpc.insecure_channel(address) as channel:
        ask = EntityProfileServiceStub(channel).BatchGetEntityProfiles
        for start in range(0, len(roots), ASKED_AT_ONCE):
            names = [f"entities/{key}" for key in roots[start : start + ASKED_AT_ONCE]]
            view = messages.ENTITY_PROFILE_VIEW_FULL
            request = messages.BatchGetEntityProfilesRequest(names=names, view=view)
            for result in ask(request, timeout=_CALL_SECONDS).results:
                key = result.name.removeprefix("entities/")
                _check_result(result, pictures[key], threads.get(key, {}), verdict)
    verdict.made("O6")


def _linked_to(drawn: Picture) -> str:
    links = [
        claim.value
        for claim in drawn.lists["claims"]
        if claim.attribute == state_pb2.ATTRIBUTE_KIND_LINKED_TO
    ]
    return links[-1] if links else ""


def _check_result(
    result: messages.EntityProfileResult, drawn: Picture, threads: Threads, verdict: Verdict
) -> None:
    if not result.HasField("response"):
        told = result.status.message
        verdict.add("O6", "no profile of an entity on the log", entity=result.name, told=told)
        return
    verdict.count("profiles")
    moment = result.response.answer_time.ToDatetime(tzinfo=UTC)
    wanted = _wanted(drawn, threads, moment)
    found = _found(result.response.profile)
    differing = {
        name: f"{found[name]} instead of {wanted[name]}"
        for name in wanted
        if found[name] != wanted[name]
    }
    if differing:
        verdict.add("O6", "the answer is not the view", entity=result.name, **differing)


def _wanted(drawn: Picture, threads: Threads, moment: datetime) -> dict[str, object]:
    today = civil_day(drawn.entity_key, int(moment.timestamp() * 1000))
    lists = {name: shown(drawn, name)[0] for name in LISTS}
    matters = list(reversed(lists["matters"]))
    opened = [thread for thread in threads.values() if thread.state == OPEN]
    totals = {key: total for key, total in totals_of(drawn).items() if total}
    if opened:
        totals[state_pb2.COUNTER_OPEN_ALERTS, ""] = len(opened)
    times = [fact.time_ms for matter in drawn.matters.values() for fact in matter.facts]
    return {
        "facts": [(f.kind, f.event_id) for f in reversed(lists["registration_facts"])],
        "listings": [
            (each.matter_id, each.reason, each.listed_time_ms, each.removed_time_ms)
            for each in reversed(lists["listings"])
        ],
        "licences": [
            (each.matter_id, each.licence_number, worth_on(each, today).status)
            for each in reversed(lists["licences"])
        ],
        "open matters": [
            (m.matter_id, m.kind, m.stage, m.outcome, m.last_time_ms) for m in matters if m.open
        ][:MATTERS_OPEN_SHOWN],
        "closed matters": [
            (m.matter_id, m.kind, m.stage, m.outcome, m.last_time_ms) for m in matters if not m.open
        ],
        "results": [(i.matter_id, i.kind, i.result) for i in reversed(lists["inspections"])],
        "penalties": [
            (p.matter_id, p.violation_code, p.fine_amount_fen, p.fine_paid, p.published)
            for p in reversed(lists["penalties"])
        ],
        "totals": {_total_name(*key): total for key, total in totals.items()},
        "open alerts": len(opened),
        "last fact": max(times, default=0),
    }


def _total_name(counter: int, code: str) -> str:
    name = state_pb2.Counter.Name(counter).removeprefix("COUNTER_").lower()  # type: ignore[arg-type]
    return f"{name}:{code}" if code else name


def _found(profile: EntityProfile) -> dict[str, object]:
    return {
        "facts": [(f.kind, f.event_id) for f in profile.registration.facts],
        "listings": [
            (
                each.matter_id,
                each.reason,
                each.listed_time.ToMilliseconds(),
                each.removed_time.ToMilliseconds(),
            )
            for each in profile.listings
        ],
        "licences": [
            (each.matter_id, each.licence_number, _licence_status(each.status))
            for each in profile.licences
        ],
        "open matters": [_matter(m) for m in profile.open_matters],
        "closed matters": [_matter(m) for m in profile.closed_matters],
        "results": [(i.matter_id, i.kind, i.result) for i in profile.inspections],
        "penalties": [
            (p.matter_id, p.violation_code, p.fine_amount_fen, p.fine_paid, p.published)
            for p in profile.penalties
        ],
        "totals": {total.name: total.value for total in profile.totals},
        "open alerts": profile.open_alert_count,
        "last fact": profile.last_event_time.ToMilliseconds(),
    }


def _matter(matter: MatterSummary) -> tuple[object, ...]:
    last_ms = matter.last_event_time.ToMilliseconds()
    return matter.matter_id, matter.kind, matter.stage, matter.outcome, last_ms


def _licence_status(status: LicenceStatus.ValueType) -> str:
    name = LicenceStatus.Name(status).removeprefix("LICENCE_STATUS_").lower()
    return "unknown" if name == "unspecified" else name
