from uuid import UUID

import pytest

from services.contracts.identifiers import (
    IdentifierError,
    canonical_key,
    entity_resource_name,
    event_id,
    matter_id,
    normalise_uscc,
    parse_entity_resource_name,
    parse_key,
    parse_matter_id,
)

# Half-width to full-width: a fixed distance apart in Unicode.
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


@pytest.mark.parametrize(
    "code",
    [
        "91350100M000100Y43",
        "91110000600037341L",
        "91442000XX0000019R",
        "92442000XX0000027H",
        "93442000XX00000359",
    ],
)
def test_uscc_with_a_right_check_character_is_accepted(code: str) -> None:
    """The worked examples of GB 32100 are valid, whatever their category."""
    assert normalise_uscc(code) == code


@pytest.mark.parametrize(
    "text",
    [
        "91442000xx0000019r",
        "91442000XX0000019R".translate(FULL_WIDTH),
        " 91442000 XX000001 9R ",
        "91442000-XX0000019R",
    ],
)
def test_uscc_in_another_spelling_becomes_canonical(text: str) -> None:
    """Full-width characters, lower case, blanks and hyphens are put right."""
    assert normalise_uscc(text) == "91442000XX0000019R"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("91350100M000100Y4Z", "first 8 characters|letters I, O, S, V, Z"),
        ("91350100M000100Y44", "check character"),
        ("91442000XX0000019", "has 18 characters, this has 17"),
        ("91442000XXOOOOO19R", "did you mean 91442000XX0000019R"),
        ("9I442000XX0000019R", "did you mean 91442000XX0000019R"),
        ("9I442000XX0000018R", "the digits 0 and 1 are"),
        ("A1110000600037341L", "first 8 characters"),
        ("", "has 18 characters, this has 0"),
    ],
)
def test_uscc_that_is_wrong_is_refused_with_the_reason(text: str, reason: str) -> None:
    """A wrong code is refused naming length, alphabet or check character, never guessed."""
    with pytest.raises(IdentifierError, match=reason) as caught:
        normalise_uscc(text)
    assert caught.value.value == text
    assert caught.value.reason.zh


def test_uscc_whose_sum_is_a_multiple_of_31_ends_in_zero() -> None:
    """Where the weighted sum leaves no remainder, the check character is 0, not the 31st letter."""
    assert normalise_uscc("91442000XX00003690") == "91442000XX00003690"


def test_key_text_and_resource_name_come_back() -> None:
    """Canonical text and resource name give the same key back, also with slashes in the value."""
    key = parse_key("unresolved:zs.inspection/JC-1:2")
    assert (key.scheme, key.value) == ("unresolved", "zs.inspection/JC-1:2")
    assert canonical_key(key) == "unresolved:zs.inspection/JC-1:2"
    assert parse_entity_resource_name(entity_resource_name(key)) == key


@pytest.mark.parametrize("text", ["", "uscc", "uscc:", ":91442000XX0000019R"])
def test_key_text_without_scheme_or_value_is_refused(text: str) -> None:
    """A key without scheme or value is no key."""
    with pytest.raises(IdentifierError, match="scheme:value"):
        parse_key(text)


def test_resource_name_of_another_collection_is_refused() -> None:
    """Only entities/... names an entity."""
    with pytest.raises(IdentifierError, match="entities"):
        parse_entity_resource_name("alerts/uscc:91442000XX0000019R")


def test_event_id_is_a_version_8_uuid_and_fixed_for_ever() -> None:
    """The event id of a source version never changes: receipts and alerts rest on it."""
    value = event_id("zs.penalty", "AJ-2024-0099-CF", 1)
    assert value == "84e46132-8260-8dd2-8ad3-1abe8de6c2e1"
    assert UUID(value).version == 8
    assert UUID(value).variant == "specified in RFC 4122"


def test_event_id_tells_apart_triples_whose_texts_run_together() -> None:
    """Length prefixes keep ("ab", "c", 12) and ("a", "bc", 12) and ("ab", "c1", 2) apart."""
    ids = {event_id("ab", "c", 12), event_id("a", "bc", 12), event_id("ab", "c1", 2)}
    assert len(ids) == 3


def test_matter_id_splits_at_the_first_slash() -> None:
    """A local id may hold slashes; the source system may not."""
    assert parse_matter_id(matter_id("zs.case", "2024/99")) == ("zs.case", "2024/99")


@pytest.mark.parametrize("text", ["zs.case", "/1", "zs.case/", "zs.case/a b", "zs.case/a|b"])
def test_matter_id_of_another_form_is_refused(text: str) -> None:
    """A matter id without both parts, or with blanks or bars, is refused."""
    with pytest.raises(IdentifierError):
        parse_matter_id(text)
