"""A profile that cannot hold is refused when it is loaded, with file and rule."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.contracts.data_files import DataFileError
from services.contracts.families import FAMILIES
from services.importing.errors import RowRefusedError
from services.importing.mapping import map_row
from services.importing.profiles import default_profile_name, load_profile, profile_names
from services.importing.rows import Row

VALID: dict[str, Any] = {
    "profile": "p",
    "label": {"zh": "甲", "en": "a"},
    "source": "a test",
    "entity_key": [{"scheme": "regno", "value": {"column": "no"}}],
    "envelope": {
        "source_system": {"constant": "test"},
        "source_record_id": {"column": "id"},
        "source_version": {"constant": 1},
        "matter_id": {"template": "test/{id}"},
        "event_time": {"column": "when"},
    },
    "refuse": [{"when": {"kind": "x"}, "reason": {"zh": "不收", "en": "not taken"}}],
    "events": [
        {
            "when": {"kind": "decided"},
            "family": "penalties",
            "event": "penalty_decided",
            "fields": {
                "decision_number": {"column": "id"},
                "kinds": {
                    "column": "kinds",
                    "separators": "、",
                    "map": {"罚款": "FINE", "警告": "WARNING"},
                },
                "violation": {"column": "code", "code_system": "test"},
                "foreign_fine": {"column": "fine", "currency": "currency"},
            },
        }
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the valid profile with the value at a dotted path replaced, or removed for None."""
    document: dict[str, Any] = copy.deepcopy(VALID)
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


def load(folder: Path, document: dict[str, Any]) -> Any:
    """Load a profile from its document."""
    (folder / "p.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return load_profile("p", folder)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("entity_key.0.scheme", "nowhere", "entity_key.0: key scheme 'nowhere'"),
        ("envelope.event_time", None, "event_time is missing"),
        ("envelope.record_time", {"constant": "x"}, "envelope.record_time: is set by the intake"),
        ("envelope.wrong", {"constant": "x"}, "has no field 'wrong'"),
        ("envelope.matter_id", {"template": "{id!r}"}, "only {column} is possible"),
        ("events.0.family", "taxes", "events.0.family: no family 'taxes'"),
        ("events.0.event", "fine_paidd", "events.0.event: penalties has no event"),
        ("events.0.fields.nothing", {"column": "a"}, "events.0.fields.nothing"),
        ("events.0.fields.violation.code_system", None, "fields.violation: code_system is needed"),
        ("events.0.fields.foreign_fine.currency", None, "foreign_fine: currency is needed"),
        ("events.0.fields.decision_number.code_system", "x", "code_system has no meaning here"),
        ("events.0.fields.kinds.map.罚款", "FINED", "has no value 'FINED'"),
        ("events.0.fields.kinds.constant", "FINE", "exactly one of column, constant"),
        ("events.0.fields.licence_number", {"column": "a", "convert": "yuan"}, "conversion yuan"),
        ("events.0.fields.violation.map_file", "none.csv", "none.csv"),
        ("events.0.fields.foreign_fine.colum", "x", "colum"),
        ("label", None, "label"),
        ("profile", "q", "profile: is 'q'"),
    ],
)
def test_profile_with_a_mistake_is_refused_naming_file_and_rule(
    tmp_path: Path, path: str, value: Any, told: str
) -> None:
    """Every mistake is found at load, not at the row that meets it."""
    with pytest.raises(DataFileError) as caught:
        load(tmp_path, changed(path, value))
    assert str(tmp_path) in str(caught.value)
    assert told in str(caught.value)


def test_profile_without_a_mistake_maps_a_row(tmp_path: Path) -> None:
    """The profile the mistakes are made in is itself in order."""
    profile = load(tmp_path, VALID)
    mapped = map_row(profile, row(kinds="罚款、警告", fine=1000.55, currency="CAD"))
    decided = mapped.event.penalty_decided  # type: ignore[union-attr]
    assert list(decided.kinds) == [3, 1]
    assert (decided.foreign_fine.units, decided.foreign_fine.nanos) == (1000, 550_000_000)
    assert mapped.event.envelope.event_time.ToJsonString() == "2024-02-29T16:00:00Z"
    assert mapped.event.envelope.utc_offset_minutes == 480


def row(**values: Any) -> Row:
    """Return a row that the profile takes, with some values replaced."""
    given = {"kind": "decided", "no": "442000123456789", "id": "1", "when": "2024-03-01"}
    return Row(2, {**given, "code": "V1", **values}, {})


@pytest.mark.parametrize(
    ("values", "column", "told"),
    [
        ({"kinds": "罚款、没收"}, "kinds", "not in the profile's map"),
        ({"fine": 5, "currency": None}, "fine", "without a currency"),
        ({"no": "12345"}, "no", "not a valid registration number"),
        ({"no": None}, "no", "is empty"),
        ({"when": "soon"}, "when", "not a date"),
        ({"when": ""}, "when", "is empty"),
        ({"kind": "x"}, "kind", "not taken"),
        ({"kind": "y"}, "kind", "no event of the profile"),
    ],
)
def test_row_that_does_not_fit_is_refused_naming_its_column(
    tmp_path: Path, values: dict[str, Any], column: str, told: str
) -> None:
    """A bad value names its column, itself and the reason in both languages."""
    with pytest.raises(RowRefusedError) as caught:
        map_row(load(tmp_path, VALID), row(**values))
    (problem,) = caught.value.problems
    assert problem.column == column
    assert told in problem.reason.en
    assert problem.reason.zh


def test_row_with_several_mistakes_tells_them_all(tmp_path: Path) -> None:
    """Somebody who mends a row wants to know everything that is wrong with it."""
    with pytest.raises(RowRefusedError) as caught:
        map_row(load(tmp_path, VALID), row(when="soon", kinds="没收", fine="much"))
    assert [problem.column for problem in caught.value.problems] == ["when", "kinds", "fine"]


def test_every_committed_profile_loads_and_every_family_has_its_own() -> None:
    """The profiles in the repository are valid, and each family's table has one."""
    for name in profile_names():
        assert load_profile(name).name == name
    assert {default_profile_name(family.name) for family in FAMILIES} <= set(profile_names())


def test_profile_that_does_not_exist_names_those_that_do() -> None:
    """A mistyped name shows what there is."""
    with pytest.raises(DataFileError, match="chicago-food"):
        load_profile("chicago")
