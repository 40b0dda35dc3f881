from collections.abc import Iterator

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from market_supervision.common.v1.envelope_pb2 import EventEnvelope

from services.contracts.families import FAMILIES

# A new text field on a complaint or report needs a new line here, and with it the question whether
# a person could be told from it or free text be put into it. Codes of units and matters only.
COMPLAINT_TEXTS = {
    "ComplaintAccepted.mediating_unit",
    "ReportFilingDecided.case_matter_id",
    "CodedValue.code_system",
    "CodedValue.code",
}
# The same of the envelope. Intakes take only codes in them when they stand on a complaint; the name
# stated is refused where the entity is registered.
ENVELOPE_TEXTS = {
    "EventEnvelope.source_system",
    "EventEnvelope.source_record_id",
    "EventEnvelope.matter_id",
    "EventEnvelope.recorded_by",
    "EventEnvelope.reporting_unit",
    "EventEnvelope.event_id",
    "EventEnvelope.stated_entity_name",
    "EntityKey.scheme",
    "EntityKey.value",
    "CodedValue.code_system",
    "CodedValue.code",
}


def fields_below(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    """Every field of a message of this system and of those inside it, dates and times left out."""
    for field in descriptor.fields:
        yield field
        inner = field.message_type
        if inner is not None and inner.full_name.startswith("market_supervision."):
            yield from fields_below(inner)


def body_fields(family_name: str) -> list[FieldDescriptor]:
    """Fields of every body of a family."""
    family = next(family for family in FAMILIES if family.name == family_name)
    bodies = family.message_class.DESCRIPTOR.oneofs_by_name["body"].fields
    return [
        field
        for arm in bodies
        if arm.message_type is not None
        for field in fields_below(arm.message_type)
    ]


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    """Validation rules that stand on a field."""
    return field.GetOptions().Extensions[validate_pb2.field]


def name_of(field: FieldDescriptor) -> str:
    """Message and field, as a person writes them."""
    owner = field.containing_type
    return f"{owner.name if owner else ''}.{field.name}"


def test_text_in_every_event_is_bounded() -> None:
    """No text of any event is without a longest length or a pattern that has one."""
    unbounded = {
        name_of(field)
        for family in FAMILIES
        for field in fields_below(family.message_class.DESCRIPTOR)
        if field.type == FieldDescriptor.TYPE_STRING
        for rules in [rules_of(field)]
        for text in [rules.repeated.items.string if field.is_repeated else rules.string]
        if not text.max_len and "}" not in text.pattern
    }
    assert unbounded == set()


def test_list_in_every_event_is_bounded() -> None:
    """No list of any event is without a largest number of items, and none is a map."""
    unbounded = {
        name_of(field)
        for family in FAMILIES
        for field in fields_below(family.message_class.DESCRIPTOR)
        if field.is_repeated and not rules_of(field).repeated.max_items
    }
    assert unbounded == set()


def test_enum_in_every_event_refuses_numbers_without_a_name() -> None:
    """No enum of any event lets through a number the contract does not define."""
    open_enums = {
        name_of(field)
        for family in FAMILIES
        for field in fields_below(family.message_class.DESCRIPTOR)
        if field.type == FieldDescriptor.TYPE_ENUM
        for rules in [rules_of(field)]
        if not (rules.repeated.items.enum if field.is_repeated else rules.enum).defined_only
    }
    assert open_enums == set()


def test_amount_in_every_event_is_whole_fen_and_not_negative() -> None:
    """Money is an int64 in fen from 0; a float never stands in an event."""
    for family in FAMILIES:
        for field in body_fields(family.name):
            assert field.type not in {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}
            if "amount" in field.name:
                rules = rules_of(field).int64
                assert field.name.endswith("amount_fen"), name_of(field)
                assert rules.HasField("gte") or rules.HasField("gt"), name_of(field)


def test_text_of_a_complaint_or_report_is_a_code_only() -> None:
    """No field of a complaint or report can hold a person's identity or free text."""
    texts = {
        name_of(field)
        for field in body_fields("complaints")
        if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
    }
    assert texts == COMPLAINT_TEXTS


def test_text_of_the_envelope_is_known_and_judged() -> None:
    """No text joins the envelope without the question what it could carry on a complaint."""
    texts = {
        name_of(field)
        for field in fields_below(EventEnvelope.DESCRIPTOR)
        if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
    }
    assert texts == ENVELOPE_TEXTS
