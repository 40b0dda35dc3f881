"""The committed fixtures have the dirt of the real files; every kind becomes what it should."""

from collections import Counter
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from google.protobuf.json_format import MessageToDict

from services.contracts.families import arm_of
from services.importing.errors import RowRefusedError
from services.importing.mapping import map_row
from services.importing.profiles import load_profile
from services.importing.readers import open_reader

FIXTURES = Path(__file__).resolve().parents[3] / "integration_tests" / "fixtures"


def imported(file: str, profile: str) -> tuple[dict[str, Any], dict[int, list[str]]]:
    """Map a fixture; return the events by source record id, and the refused columns by row."""
    compiled = load_profile(profile)
    events: dict[str, Any] = {}
    refused: dict[int, list[str]] = {}
    for row in open_reader(FIXTURES / file).rows():
        try:
            event = map_row(compiled, row).event
        except RowRefusedError as error:
            refused[row.number] = [problem.column for problem in error.problems]
            continue
        assert protovalidate.collect_violations(event) == []
        events[event.envelope.source_record_id] = event
    return events, refused


def body(event: Any) -> dict[str, Any]:
    """Return the body of an event as JSON."""
    document: dict[str, Any] = MessageToDict(getattr(event, str(arm_of(event))))
    return document


def test_toronto_every_kind_and_outcome_becomes_its_event() -> None:
    """An inspection, and a charge in every state it can be in."""
    events, refused = imported("toronto_dinesafe.jsonl", "toronto-dinesafe")
    kinds = Counter((arm_of(event), event.envelope.disposition) for event in events.values())
    assert kinds == {
        ("inspection_completed", 1): 5,
        ("penalty_decided", 1): 7,
        ("case_filed", 1): 2,
        ("case_filed", 2): 1,
    }
    assert sorted(refused) == [16, 17, 18]


def test_toronto_inspection_keeps_what_is_recorded_and_no_more() -> None:
    """The severity of an infraction is taken from the table, or stays not recorded."""
    events, _ = imported("toronto_dinesafe.jsonl", "toronto-dinesafe")
    event = events["900000004:inspected"]
    assert event.envelope.matter_id == "toronto.dinesafe/900000004"
    assert body(event)["placeType"] == "PLACE_TYPE_SCHOOL_CANTEEN"
    assert body(event)["resultBasis"] == "RESULT_BASIS_DERIVED"
    assert [found.get("severity") for found in body(event)["findings"]] == [
        "FINDING_SEVERITY_CRITICAL",
        "FINDING_SEVERITY_MINOR",
    ]
    unknown = body(events["900000003:inspected"])["findings"][1]
    assert "severity" not in unknown
    assert len(unknown["code"]["code"]) <= 64
    assert "placeType" not in body(events["900000005:inspected"])


def test_toronto_fine_stays_in_its_currency() -> None:
    """Canadian dollars never become fen."""
    events, _ = imported("toronto_dinesafe.jsonl", "toronto-dinesafe")
    fined = body(events["900000004-0:penalty_imposed"])
    assert fined["foreignFine"] == {"currencyCode": "CAD", "units": "120", "nanos": 500000000}
    assert "fineAmountFen" not in fined
    assert "foreignFine" not in body(events["900000014-0:penalty_imposed"])


def test_toronto_days_are_civil_days_there_across_the_change_of_clocks() -> None:
    """Noon before and after the change of clocks is 17:00 and 16:00 UTC, with its offset."""
    events, _ = imported("toronto_dinesafe.jsonl", "toronto-dinesafe")
    envelopes = [events[f"90000000{number}:inspected"].envelope for number in (2, 3)]
    assert [envelope.event_time.ToJsonString()[11:16] for envelope in envelopes] == [
        "17:00",
        "16:00",
    ]
    assert [envelope.utc_offset_minutes for envelope in envelopes] == [-300, -240]


def test_chicago_every_kind_becomes_its_event() -> None:
    """Licences, visits, complaints, and what ends a licence."""
    events, refused = imported("chicago_food.jsonl", "chicago-food")
    assert Counter(arm_of(event) for event in events.values()) == {
        "inspection_completed": 6,
        "entity_established": 1,
        "licence_granted": 1,
        "licence_renewed": 3,
        "licence_expired": 1,
        "licence_cancelled": 1,
        "licence_revoked": 1,
        "complaint_received": 4,
    }
    assert sorted(refused) == [8, 20]


def test_chicago_result_not_recorded_stays_not_recorded() -> None:
    """A visit without result has none, and no basis for one."""
    events, _ = imported("chicago_food.jsonl", "chicago-food")
    visits = [event for event in events.values() if arm_of(event) == "inspection_completed"]
    unknown = [visit for visit in visits if "result" not in body(visit)]
    assert {visit.envelope.source_system for visit in unknown} == {"chicago.inspection_schedule"}
    assert all("resultBasis" not in body(visit) for visit in unknown)
    assert len(unknown) == 3


def test_chicago_licence_is_one_matter_through_all_its_terms() -> None:
    """Grant, renewals, move and revocation of one licence lie in one matter; a visit in its own."""
    events, _ = imported("chicago_food.jsonl", "chicago-food")
    licence = {
        event.envelope.matter_id
        for event in events.values()
        if str(arm_of(event)).startswith("licence_")
        and event.envelope.entity_key.value == "CHI-9900001"
    }
    assert licence == {"chicago.business_licenses/CHI-9900001"}
    assert events["9900101:inspected"].envelope.matter_id == "chicago.food_inspections/9900101"


def test_chicago_findings_have_the_severity_of_their_code() -> None:
    """Codes 1-14 are critical, 15-29 serious, 30-44 and 70 minor."""
    events, _ = imported("chicago_food.jsonl", "chicago-food")
    findings = body(events["9900101:inspected"])["findings"]
    assert [(found["code"]["code"], found["severity"][17:]) for found in findings] == [
        ("3", "CRITICAL"),
        ("16", "SERIOUS"),
        ("33", "MINOR"),
        ("70", "MINOR"),
    ]


def test_gb18030_table_keeps_rare_characters_and_refuses_bad_rows_by_column() -> None:
    """Characters outside GBK arrive; each bad row names the columns that are wrong."""
    events, refused = imported("registration_gb18030.csv", "default-registration")
    assert body(events["SL-1"])["name"] == "中山市㙟头镕龑餐饮有限公司"
    assert body(events["SL-1"])["address"]["text"] == "中山市小榄镇𠮷祥路1号"
    assert body(events["SL-1"])["registeredCapitalAmountFen"] == "100000000"
    assert events["XK-1"].envelope.entity_key == events["SL-1"].envelope.entity_key
    assert refused == {6: ["统一社会信用代码"], 7: ["发生时间", "注册资本（元）"], 8: ["事件类型"]}


def test_spreadsheet_numbers_are_repaired_or_refused_and_dates_read() -> None:
    """A 15-digit number is exact, an 18-digit one lost digits; a date cell is a civil day."""
    events, refused = imported("inspections.xlsx", "default-inspections")
    assert events["JC-2"].envelope.entity_key.value == "442000123456789"
    assert events["JC-1"].envelope.event_time.ToJsonString() == "2024-04-01T01:30:00Z"
    assert body(events["JH-1"])["plannedDate"] == {"year": 2024, "month": 4, "day": 20}
    assert [found["code"]["code"] for found in body(events["JC-1"])["findings"]] == [
        "HYGIENE_PREMISES",
        "PESTS",
    ]
    assert refused == {6: ["统一社会信用代码"], 7: ["计划日期"]}


@pytest.mark.parametrize(
    ("file", "profile"),
    [("toronto_dinesafe.jsonl", "toronto-dinesafe"), ("chicago_food.jsonl", "chicago-food")],
)
def test_source_records_stay_distinct(file: str, profile: str) -> None:
    """Records that differ only in their kind are different records."""
    events, refused = imported(file, profile)
    rows = open_reader(FIXTURES / file).count()
    assert len(events) + len(refused) == rows
