"""Every rule of the contract speaks Chinese."""

from collections.abc import Iterator

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor

from services.contracts.families import FAMILIES
from services.intake.violations import CHINESE_BY_RULE


def rule_ids(descriptor: Descriptor, seen: set[str]) -> Iterator[str]:
    """Yield the id of every rule written out in a message and those below it."""
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    options = descriptor.GetOptions()
    yield from (rule.id for rule in options.Extensions[validate_pb2.message].cel)
    for field in descriptor.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        yield from (rule.id for rule in (*rules.cel, *rules.repeated.items.cel))
        if field.message_type is not None:
            yield from rule_ids(field.message_type, seen)


def test_every_rule_written_in_the_contract_has_a_chinese_text() -> None:
    """A rule added to a .proto without a text here is named by this test."""
    seen: set[str] = set()
    ids = {rule for family in FAMILIES for rule in rule_ids(family.message_class.DESCRIPTOR, seen)}
    assert ids
    assert ids - CHINESE_BY_RULE.keys() == set()
