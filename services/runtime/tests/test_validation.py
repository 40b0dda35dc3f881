"""Rules of the contracts, told in two languages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet
from market_supervision.common.v1.envelope_pb2 import EventEnvelope
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent

from services.runtime.errors import FieldInvalidError
from services.runtime.validation import CONTRACT_RULES_ZH, validate, violations_of

IMAGE = Path(__file__).parents[3] / "protos" / "gen" / "api.binpb"


def rules_of(message: DescriptorProto) -> Iterator[str]:
    """Yield the ids of the CEL rules a message and its fields carry."""
    yield from (rule.id for rule in message.options.Extensions[validate_pb2.message].cel)
    for field in message.field:
        rules = field.options.Extensions[validate_pb2.field]
        yield from (rule.id for rule in (*rules.cel, *rules.repeated.items.cel))
    for nested in message.nested_type:
        yield from rules_of(nested)


def test_every_rule_written_in_a_contract_has_its_chinese_sentence() -> None:
    """A rule a contract writes itself is told in Chinese, and no sentence outlives its rule."""
    image = FileDescriptorSet.FromString(IMAGE.read_bytes())
    messages = (message for file in image.file for message in file.message_type)
    ours = {rule for message in messages for rule in rules_of(message)}
    assert ours == set(CONTRACT_RULES_ZH)


def test_violation_names_field_value_and_rule_in_both_languages() -> None:
    """A refused field is named with what was given and what would be right."""
    envelope = EventEnvelope(source_system="UPPER", utc_offset_minutes=1000)
    found = {item.field: item for item in violations_of(envelope, path_prefix="event.")}
    system = found["event.source_system"]
    assert "'UPPER'" in system.message_en
    assert "'UPPER'" in system.message_zh
    assert system.message_zh.startswith("不符合格式")
    assert found["event.source_record_id"].message_zh == "必填"
    offset = found["event.utc_offset_minutes"].message_zh
    assert offset == "必须大于或等于 -840，且小于或等于 840（实际为 1000）"


def test_violation_inside_a_list_names_the_position() -> None:
    """The second of two findings is the one that is named."""
    event = InspectionEvent()
    event.inspection_completed.findings.add(code={"code_system": "local", "code": "F01"})
    event.inspection_completed.findings.add()
    fields = [item.field for item in violations_of(event)]
    assert "inspection_completed.findings[1].code" in fields
    assert "inspection_completed.findings[0].code" not in fields


def test_long_value_is_quoted_in_part() -> None:
    """A value of any length makes no long message."""
    envelope = EventEnvelope(source_system="x" * 10_000)
    message = next(i for i in violations_of(envelope) if i.field == "source_system").message_en
    assert len(message) < 200
    assert "…" in message


def test_invalid_message_raises_with_all_violations() -> None:
    """Everything that is wrong is told at once."""
    with pytest.raises(FieldInvalidError) as caught:
        validate(EventEnvelope())
    assert len(caught.value.violations) > 4
    assert "source_system" in caught.value.message_en
    assert "必填" in caught.value.message_zh
