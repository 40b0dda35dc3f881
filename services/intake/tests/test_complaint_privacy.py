"""No text of a complaint or report takes a person's identity or free text."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.intake.pipeline import Prepared
from services.intake.tests.test_pipeline import EXAMPLES, example, prepare

FREE_TEXTS = ("张三 13800138000", "Zhang San", "张三")
ARMS = sorted(path.stem for path in (EXAMPLES / "complaints").glob("*.json"))


def texts_of(message: Message, prefix: str = "") -> Iterator[tuple[str, Message, str]]:
    """Yield (path, message, name) of every text field of a message and of those inside it."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            yield f"{prefix}{field.name}", message, field.name
        inner = field.message_type
        if inner is None or not inner.full_name.startswith("market_supervision."):
            continue
        if field.containing_oneof is not None and not message.HasField(field.name):
            continue
        child = getattr(message, field.name)
        yield from texts_of(child, f"{prefix}{field.name}.")


def paths() -> list[tuple[str, str]]:
    """Every (event, path of a text field) of the family."""
    return [(arm, path) for arm in ARMS for path, _, _ in texts_of(example("complaints", arm))]


@pytest.mark.parametrize("text", FREE_TEXTS)
@pytest.mark.parametrize(("arm", "path"), paths())
def test_free_text_is_refused_in_every_text_of_the_family(arm: str, path: str, text: str) -> None:
    """Whatever field it is put into, alone or behind a source system, the event is refused."""
    for tried in (text, f"zs/{text}"):
        event = example("complaints", arm)
        _, owner, name = next(each for each in texts_of(event) if each[0] == path)
        setattr(owner, name, tried)
        assert isinstance(prepare(event), list), (path, tried)


@pytest.mark.parametrize("value", ["zs/张三", "zs/a@b", "zs/1+1"])
def test_key_of_an_unknown_operator_is_a_code(value: str) -> None:
    """The key of an operator without one is its matter id, and no other text."""
    event = example("complaints", "complaint_received")
    event.envelope.entity_key.scheme, event.envelope.entity_key.value = "unresolved", value
    found = prepare(event)
    assert isinstance(found, list)
    assert "envelope.entity_key.value" in {each.field for each in found}
    assert all(each.value != value for each in found if each.field == "envelope.entity_key.value")


@pytest.mark.parametrize(
    ("scheme", "value", "is_taken"),
    [
        ("uscc", None, False),
        ("regno", "442000600000001", False),
        ("unresolved", "zs/1", True),
        ("chicago-licence", "CHI-1", True),
    ],
)
def test_name_is_stated_only_of_an_operator_without_registered_name(
    scheme: str,
    value: str | None,
    is_taken: bool,  # noqa: FBT001
) -> None:
    """A registered entity has a name; a second one could be anybody's."""
    event = example("complaints", "complaint_received")
    event.envelope.stated_entity_name = "店"
    if value is not None:
        event.envelope.entity_key.scheme, event.envelope.entity_key.value = scheme, value
    assert isinstance(prepare(event), Prepared) is is_taken


def test_texts_of_other_families_may_be_words() -> None:
    """An inspection's matter may have a Chinese document number."""
    event = example("inspections", "inspection_completed")
    event.envelope.source_record_id = "穗检-1"
    assert isinstance(prepare(event), Prepared)


@pytest.mark.parametrize("system", ["GB/T2260", "gb/t 2260", "GB/T 2260 ", "anything"])
def test_code_system_that_is_not_registered_is_refused(system: str) -> None:
    """A misspelt system is no way round its table."""
    event = example("inspections", "inspection_completed")
    event.envelope.division.code_system = system
    event.envelope.division.code = "nowhere"
    found = prepare(event)
    assert isinstance(found, list)
    assert [(each.field, each.reason) for each in found] == [
        ("envelope.division.code_system", ErrorReason.ERROR_REASON_CODE_UNKNOWN)
    ]


def test_identifiers_too_long_for_the_stores_are_refused() -> None:
    """Bounds count bytes: characters of Chinese take three."""
    event = example("inspections", "inspection_completed")
    event.envelope.matter_id = "zs/" + "检" * 85
    event.envelope.entity_key.scheme = "unresolved"
    event.envelope.entity_key.value = "zs/" + "检" * 66
    found = prepare(event)
    assert isinstance(found, list)
    assert {each.field for each in found} == {"envelope.matter_id", "envelope.entity_key.value"}
    event.envelope.matter_id = "zs/" + "检" * 84
    event.envelope.entity_key.value = "zs/" + "检" * 65
    assert isinstance(prepare(event), Prepared)
