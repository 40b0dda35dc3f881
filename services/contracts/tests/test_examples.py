from datetime import date, datetime, timedelta, timezone
from itertools import pairwise

import protovalidate
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from market_supervision.common.v1.envelope_pb2 import CodedValue, EntityKey

from services.contracts.code_tables import load_code_tables
from services.contracts.examples import EXAMPLES_ROOT, example_path, load_example
from services.contracts.families import FAMILIES, FAMILY_BY_NAME, FamilyEvent, arm_of
from services.contracts.key_schemes import load_key_schemes

EVENT_TYPES = [(family.name, arm) for family in FAMILIES for arm in family.arms]
TABLES = load_code_tables()
SCHEMES = load_key_schemes()
# Registration authority 9, any category, division 442000, subject ids of the reserved range.
INVENTED_USCC = ("91442000XX", "92442000XX", "93442000XX")


def messages_within(message: Message) -> list[Message]:
    """Every message inside another, itself included."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else [value]:
            found.extend(messages_within(inner))
    return found


def local_day(event: FamilyEvent) -> date:
    """Civil day of an event where it happened."""
    zone = timezone(timedelta(minutes=event.envelope.utc_offset_minutes))
    return event.envelope.event_time.ToDatetime(tzinfo=zone).date()


@pytest.mark.parametrize(("family", "arm"), EVENT_TYPES)
def test_example_of_every_type_is_valid_and_of_that_type(family: str, arm: str) -> None:
    """Every event type has an example that the contract accepts and that carries its own arm."""
    event = load_example(family, arm)
    protovalidate.validate(event)
    assert arm_of(event) == arm
    assert not event.envelope.event_id
    assert not event.envelope.HasField("record_time")


@pytest.mark.parametrize(("family", "arm"), EVENT_TYPES)
def test_example_text_is_canonical_json(family: str, arm: str) -> None:
    """An example is written exactly as protobuf writes it, so that it can be compared as text."""
    text = example_path(family, arm).read_text(encoding="utf-8")
    canonical = json_format.MessageToJson(load_example(family, arm), indent=2, ensure_ascii=False)
    assert text == canonical + "\n"


@pytest.mark.parametrize(("family", "arm"), EVENT_TYPES)
def test_example_uses_keys_and_codes_in_force(family: str, arm: str) -> None:
    """Keys of examples are canonical and invented; codes are in their tables on the day."""
    event = load_example(family, arm)
    for message in messages_within(event):
        if isinstance(message, EntityKey):
            assert SCHEMES.normalise(message) == message
            assert message.scheme != "uscc" or message.value.startswith(INVENTED_USCC)
        if isinstance(message, CodedValue):
            assert TABLES.problem(message, local_day(event)) is None


def test_examples_have_no_file_without_a_type() -> None:
    """No example is left over from a type that is gone."""
    files = {path.relative_to(EXAMPLES_ROOT).as_posix() for path in EXAMPLES_ROOT.rglob("*.json")}
    assert files == {f"{family}/{arm}.json" for family, arm in EVENT_TYPES}


def test_examples_have_distinct_source_records() -> None:
    """All examples can be sent together: no two claim the same source record."""
    slots = [
        (event.envelope.source_system, event.envelope.source_record_id)
        for event in (load_example(family, arm) for family, arm in EVENT_TYPES)
    ]
    assert len(set(slots)) == len(slots)


@pytest.mark.parametrize(
    ("family", "chain"),
    [
        ("registration", "entity_established licence_granted entity_changed licence_renewed"),
        ("registration", "abnormal_operations_listed abnormal_operations_removed"),
        ("registration", "business_suspended business_resumed"),
        (
            "registration",
            (
                "simple_deregistration_notice_published simple_deregistration_objected"
                " simple_deregistration_notice_withdrawn entity_deregistered"
            ),
        ),
        (
            "inspections",
            (
                "inspection_planned inspection_completed rectification_ordered"
                " rectification_reported rectification_verified"
            ),
        ),
        ("inspections", "sample_taken sample_tested"),
        ("complaints", "complaint_received complaint_accepted mediation_agreed"),
        ("complaints", "report_received report_filing_decided informant_told"),
        (
            "penalties",
            (
                "clue_registered case_filed penalty_notice_served hearing_requested hearing_held"
                " penalty_decided fine_paid penalty_published credit_repair_applied"
                " credit_repair_granted penalty_publication_withdrawn"
            ),
        ),
    ],
)
def test_examples_of_one_story_follow_one_another(family: str, chain: str) -> None:
    """Examples tell consistent stories: of one entity, each step after its cause."""
    events = [load_example(family, arm) for arm in chain.split()]
    for earlier, later in pairwise(events):
        assert earlier.envelope.entity_key == later.envelope.entity_key
        assert moment(earlier) < moment(later)


def moment(event: FamilyEvent) -> datetime:
    """When an event happened."""
    return event.envelope.event_time.ToDatetime()


def test_date_rule_stands_on_every_date_field() -> None:
    """Every google.type.Date in the contracts refuses a day that does not exist."""
    missing = []
    for family in FAMILIES:
        for name in family.arms:
            descriptor = FAMILY_BY_NAME[family.name].message_class.DESCRIPTOR
            body = descriptor.fields_by_name[name].message_type
            assert body is not None
            missing += [
                f"{body.name}.{field}" for field in date_fields(body) if not refuses(body, field)
            ]
    assert missing == []


def date_fields(descriptor: Descriptor) -> list[str]:
    """Names of the date fields of a message."""
    return [
        field.name
        for field in descriptor.fields
        if field.message_type is not None and field.message_type.full_name == "google.type.Date"
    ]


def refuses(descriptor: Descriptor, field: str) -> bool:
    """Tell whether a date field refuses 29 February 2023."""
    message = GetMessageClass(descriptor)()
    getattr(message, field).year = 2023
    getattr(message, field).month = 2
    getattr(message, field).day = 29
    return any(
        violation.proto.rule_id == "date.real" and field in str(violation.proto.field)
        for violation in protovalidate.collect_violations(message)
    )
