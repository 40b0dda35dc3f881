from pathlib import Path

import pytest
from market_supervision.common.v1.envelope_pb2 import EntityKey

from services.contracts.data_files import DataFileError
from services.contracts.identifiers import IdentifierError
from services.contracts.key_schemes import load_key_schemes

SCHEMES = load_key_schemes()
# Half-width to full-width: a fixed distance apart in Unicode.
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
ROW = """
  - scheme: {scheme}
    label: {{zh: 示例, en: sample}}
    pattern: '{pattern}'
    time_zone: {zone}
    source: a test
"""


@pytest.mark.parametrize(
    ("scheme", "text", "canonical"),
    [
        ("uscc", "91442000xx0000019r".translate(FULL_WIDTH), "91442000XX0000019R"),
        ("regno", "442000600000001".translate(FULL_WIDTH), "442000600000001"),
        ("unresolved", "zs.inspection/jc-1", "zs.inspection/jc-1"),
        ("toronto-dinesafe", "tor-9001383", "TOR-9001383"),
        ("toronto-dinesafe", "TOR-10259437", "TOR-10259437"),
        ("chicago-licence", "CHI-2", "CHI-2"),
    ],
)
def test_value_becomes_canonical_in_its_scheme(scheme: str, text: str, canonical: str) -> None:
    """Each scheme puts its values into one form; the letters of a matter id stay."""
    assert SCHEMES.normalise(EntityKey(scheme=scheme, value=text)).value == canonical


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        ("uscc", "91442000XX0000018R"),
        ("regno", "44200060000000"),
        ("regno", "44200060000000A"),
        ("unresolved", "no-slash"),
        ("unresolved", "zs.inspection/a|b"),
        ("toronto-dinesafe", "CHI-34234"),
        ("chicago-licence", "CHI-34234\n1"),
        ("chicago-licence", "CHI-"),
    ],
)
def test_value_of_another_form_is_refused(scheme: str, value: str) -> None:
    """A value that has not the form of its scheme is refused, in both languages."""
    with pytest.raises(IdentifierError) as caught:
        SCHEMES.normalise(EntityKey(scheme=scheme, value=value))
    assert caught.value.reason.zh
    assert caught.value.reason.en


def test_scheme_that_is_not_registered_is_refused_with_those_that_are() -> None:
    """An unknown scheme is named together with the known ones."""
    with pytest.raises(IdentifierError, match="chicago-licence, regno, toronto-dinesafe"):
        SCHEMES.normalise(EntityKey(scheme="ein", value="1"))


@pytest.mark.parametrize(
    ("scheme", "zone"),
    [
        ("uscc", "Asia/Shanghai"),
        ("toronto-dinesafe", "America/Toronto"),
        ("chicago-licence", "America/Chicago"),
    ],
)
def test_days_lie_in_the_zone_of_the_scheme(scheme: str, zone: str) -> None:
    """The civil day of a foreign entity is that of its own city."""
    assert SCHEMES.zone(scheme).key == zone


@pytest.mark.parametrize(
    ("rows", "place", "reason"),
    [
        (ROW.format(scheme="A", pattern="x", zone="UTC"), "schemes.0.scheme", "1 to 32"),
        (ROW.format(scheme="a", pattern="(", zone="UTC"), "schemes.0.pattern", "regular"),
        (ROW.format(scheme="a", pattern="x", zone="Moon/Sea"), "schemes.0.time_zone", "Moon/Sea"),
        (ROW.format(scheme="a", pattern="x", zone="UTC") * 2, "a", "twice"),
        ("\n  - scheme: a", "schemes.0.label", "required"),
    ],
)
def test_file_with_a_bad_row_is_refused_at_its_place(
    tmp_path: Path, rows: str, place: str, reason: str
) -> None:
    """A bad row stops the start, naming the file, the row and the reason."""
    path = tmp_path / "key_schemes.yaml"
    path.write_text(f"schemes:{rows}\n", encoding="utf-8")
    with pytest.raises(DataFileError) as caught:
        load_key_schemes(path)
    assert caught.value.path == path
    assert caught.value.place == place
    assert reason.lower() in str(caught.value).lower()
