"""The city is deterministic, complete and fit to be submitted."""

import hashlib
from datetime import date

import protovalidate
import pytest
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_ASSERTED, DISPOSITION_WITHDRAWN

from services.contracts.code_tables import load_code_tables
from services.contracts.event_types import EVENT_TYPES, RECORD_MOVED, event_type_of
from services.contracts.families import family_of
from services.contracts.identifiers import normalise_uscc
from services.contracts.key_schemes import load_key_schemes
from services.synthetic.city import City, CityArguments, build_city
from services.synthetic.codes import CITY_CODE

PRESENT = date(2026, 6, 30)
ARGUMENTS = CityArguments(seed=7, present=PRESENT, entities=120)


@pytest.fixture(scope="module")
def city() -> City:
    """One city for all tests of the file; nobody changes it."""
    return build_city(ARGUMENTS)


def _digest(city: City) -> str:
    digest = hashlib.sha256()
    for submission in city.submissions:
        digest.update(submission.arrives.isoformat().encode())
        digest.update(submission.event.SerializeToString(deterministic=True))
    digest.update(repr((city.expected, city.near_misses)).encode())
    return digest.hexdigest()


def test_city_same_arguments_gives_same_bytes(city: City) -> None:
    """Equal arguments give equal submissions and expectations; another seed gives others."""
    assert _digest(city) == _digest(build_city(ARGUMENTS))
    assert _digest(city) != _digest(build_city(CityArguments(8, PRESENT, 120)))


def test_city_every_event_passes_the_contract(city: City) -> None:
    """Every submission satisfies the rules written in the contracts."""
    for submission in city.submissions:
        violations = protovalidate.collect_violations(submission.event)
        assert not violations, (submission.event, violations)


def test_city_every_code_and_key_is_in_force(city: City) -> None:
    """Every key and every code of an own code system is accepted on the day of its event."""
    tables, schemes = load_code_tables(), load_key_schemes()
    for submission in city.submissions:
        envelope = submission.event.envelope
        assert schemes.normalise(envelope.entity_key) == envelope.entity_key
        on = envelope.event_time.ToDatetime().date()
        for coded in _coded_values(submission.event):
            assert tables.problem(coded, on) is None, submission.event


def _coded_values(message: object) -> list:  # type: ignore[type-arg]
    found = []
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else [value]:
            is_code = part.DESCRIPTOR.full_name == "market_supervision.common.v1.CodedValue"
            found += [part] if is_code else _coded_values(part)
    return found


def test_city_every_event_type_occurs(city: City) -> None:
    """Every type of the four families occurs; a move is written by intakes only."""
    told = {event_type_of(s.event).cloud_event_type for s in city.submissions}
    expected = {t.cloud_event_type for t in EVENT_TYPES if t.arm != RECORD_MOVED}
    withdrawn = {t.cloud_event_type for t in EVENT_TYPES if t.arm == "record_withdrawn"}
    assert expected - withdrawn <= told
    assert told & withdrawn


def test_city_source_versions_are_unique_and_rise(city: City) -> None:
    """A source key is used once, and a version follows the one before in time."""
    keys = [s.source_key for s in city.submissions]
    assert len(set(keys)) == len(keys)
    seen: dict[tuple[str, str], int] = {}
    for system, record, version in keys:
        assert version == seen.get((system, record), 0) + 1
        seen[system, record] = version


def test_city_sends_nothing_after_its_present_nor_before_it_happened(city: City) -> None:
    """Submissions are ordered by sending; none is sent before its event or after the present."""
    arrivals = [s.arrives for s in city.submissions]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1].date() <= PRESENT
    late = 0
    for submission in city.submissions:
        happened = submission.event.envelope.event_time.ToDatetime(submission.arrives.tzinfo)
        assert happened <= submission.arrives
        late += (submission.arrives - happened).days >= 1
    assert late > 5


def test_city_keys_are_invented_ones(city: City) -> None:
    """Every credit code is valid and lies in the body range reserved for invention."""
    for entity in city.entities:
        assert normalise_uscc(entity.key.value) == entity.key.value
        assert entity.key.value[2:10] == f"{CITY_CODE}XX"
    assert len({entity.key.value for entity in city.entities}) == len(city.entities)


def test_city_corrects_withdraws_and_links(city: City) -> None:
    """There are corrections that keep the entity, that change it, withdrawals and links."""
    versions: dict[tuple[str, str], set[str]] = {}
    dispositions = set()
    schemes = set()
    for submission in city.submissions:
        envelope = submission.event.envelope
        dispositions.add(envelope.disposition)
        schemes.add(envelope.entity_key.scheme)
        record = (envelope.source_system, envelope.source_record_id)
        versions.setdefault(record, set()).add(envelope.entity_key.value)
        assert envelope.matter_id
        assert family_of(submission.event).name == submission.family
    assert any(len(keys) > 1 for keys in versions.values())
    assert dispositions == {DISPOSITION_ASSERTED, DISPOSITION_WITHDRAWN}
    assert schemes == {"uscc", "regno", "unresolved"}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (CityArguments(1, PRESENT, entities=10), "entities"),
        (CityArguments(1, PRESENT, years=1), "years"),
        (CityArguments(1, PRESENT, first_number=999_900), "entities"),
    ],
)
def test_city_without_room_is_refused(arguments: CityArguments, names: str) -> None:
    """Too few entities, too short a history or numbers outside the range name what is wrong."""
    with pytest.raises(ValueError, match=names):
        build_city(arguments)
