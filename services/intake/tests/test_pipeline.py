"""What the pipeline refuses, and what it makes of what it takes."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import json_format
from market_supervision.common.v1.envelope_pb2 import Disposition
from market_supervision.common.v1.error_reason_pb2 import ErrorReason

from services.contracts.code_tables import load_code_tables
from services.contracts.event_types import event_type_of
from services.contracts.families import EVENT_BYTES_MAX, FAMILIES, FAMILY_BY_NAME, FamilyEvent
from services.contracts.identifiers import event_id
from services.contracts.key_schemes import load_key_schemes
from services.intake.pipeline import FUTURE_TOLERANCE_S, Pipeline, Prepared
from services.intake.violations import VALUE_CHARACTERS_MAX, Violation

EXAMPLES = Path(__file__).resolve().parents[3] / "protos" / "examples"
KEY_SCHEMES, CODE_TABLES = load_key_schemes(), load_code_tables()
NOW_S = 1_795_000_000
NOW_NS = NOW_S * 1_000_000_000

FIELD = ErrorReason.ERROR_REASON_FIELD_INVALID


def as_sent(_: FamilyEvent, key: str) -> str:
    """File under the key that was sent."""
    return key


def example(family: str, name: str) -> FamilyEvent:
    """Return an example event as a client sends it."""
    event = FAMILY_BY_NAME[family].message_class()
    json_format.Parse((EXAMPLES / family / f"{name}.json").read_text(encoding="utf-8"), event)
    return event


def prepare(
    event: FamilyEvent, file_under: Callable[[FamilyEvent, str], str] = as_sent
) -> Prepared | list[Violation]:
    """Run the pipeline."""
    family = next(each for each in FAMILIES if isinstance(event, each.message_class))
    pipeline = Pipeline(family, KEY_SCHEMES, CODE_TABLES, file_under)
    return pipeline.prepare(event, now_ns=NOW_NS, client="bureau-7")


def violations_of(event: FamilyEvent) -> list[Violation]:
    """Return what is wrong with an event; something must be."""
    found = prepare(event)
    assert isinstance(found, list)
    assert all(each.text.zh and each.text.en for each in found)
    return found


def prepared(event: FamilyEvent) -> Prepared:
    """Return a valid event as it goes on the log."""
    found = prepare(event)
    assert isinstance(found, Prepared), found
    return found


@pytest.mark.parametrize(
    ("family", "name"),
    [(path.parent.name, path.stem) for path in sorted(EXAMPLES.glob("*/*.json"))],
)
def test_every_example_is_taken_and_named_by_its_headers(family: str, name: str) -> None:
    """Each canonical example passes; key, id and headers are derived, the body stays as it was."""
    event = example(family, name)
    result = prepared(event)
    stored = FAMILY_BY_NAME[family].parse(result.record.value)
    headers = dict(result.record.headers)
    envelope = stored.envelope
    assert envelope.event_id == event_id(*result.key) == headers["ce_id"].decode()
    assert envelope.recorded_by == "bureau-7"
    assert envelope.record_time.ToNanoseconds() == NOW_NS
    key = f"{envelope.entity_key.scheme}:{envelope.entity_key.value}"
    assert result.record.key == key.encode() == headers["ce_subject"]
    assert headers["ce_type"].decode() == event_type_of(event).cloud_event_type
    assert headers["payload-hash"].decode() == result.payload_hash.hex()
    assert getattr(stored, name) == getattr(event, name)


def test_payload_hash_is_that_of_the_request_before_normalisation() -> None:
    """SHA-256 of the deterministic bytes as sent: a newer normaliser changes nothing."""
    event = example("inspections", "inspection_completed")
    event.envelope.entity_key.value = event.envelope.entity_key.value.lower()
    sent = event.SerializeToString(deterministic=True)
    assert prepared(event).payload_hash == hashlib.sha256(sent).digest()
    assert event.SerializeToString(deterministic=True) == sent


def test_full_width_lower_case_uscc_is_filed_under_its_canonical_form() -> None:
    """统一社会信用代码 typed in full-width or lower-case letters names the same entity."""
    event = example("inspections", "inspection_completed")
    canonical = event.envelope.entity_key.value
    full_width = "".join(chr(ord(each) + 0xFEE0) for each in canonical.lower())
    event.envelope.entity_key.value = full_width
    assert prepared(event).record.key == f"uscc:{canonical}".encode()


def test_uscc_with_letter_for_digit_is_refused_with_the_likely_code() -> None:
    """O for 0 is named, with the code that was probably meant."""
    event = example("inspections", "inspection_completed")
    right = event.envelope.entity_key.value
    event.envelope.entity_key.value = right.replace("0", "O", 1)
    (found,) = violations_of(event)
    assert found.field == "envelope.entity_key.value"
    assert found.reason == ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID
    assert found.value == right.replace("0", "O", 1)
    assert right in found.text.en
    assert right in found.text.zh


def test_unknown_key_scheme_is_refused_naming_the_scheme() -> None:
    """Only registered schemes are taken."""
    event = example("inspections", "inspection_completed")
    event.envelope.entity_key.scheme = "passport"
    (found,) = violations_of(event)
    assert (found.field, found.value) == ("envelope.entity_key.scheme", "passport")


def test_event_time_is_refused_just_beyond_a_day_after_the_intakes_clock() -> None:
    """A day ahead is tolerated, a second more is not."""
    event = example("inspections", "inspection_completed")
    event.envelope.event_time.FromSeconds(NOW_S + FUTURE_TOLERANCE_S)
    prepared(event)
    event.envelope.event_time.FromSeconds(NOW_S + FUTURE_TOLERANCE_S + 1)
    (found,) = violations_of(event)
    assert found.field == "envelope.event_time"
    assert found.reason == ErrorReason.ERROR_REASON_EVENT_TIME_IN_FUTURE


@pytest.mark.parametrize(
    ("seconds", "nanos", "part"),
    [(-2_208_988_801, 0, ""), (0, 1_000_000_000, ".nanos"), (0, -1, ".nanos")],
)
def test_impossible_event_time_is_refused(seconds: int, nanos: int, part: str) -> None:
    """A time before 1900 or with impossible nanoseconds is no time."""
    event = example("inspections", "inspection_completed")
    event.envelope.event_time.seconds, event.envelope.event_time.nanos = seconds, nanos
    (found,) = violations_of(event)
    assert (found.field, found.reason) == (f"envelope.event_time{part}", FIELD)


def test_unknown_enum_value_is_refused() -> None:
    """A value that the contract does not define is not passed on."""
    event = example("inspections", "inspection_completed")
    event.inspection_completed.kind = 999  # type: ignore[union-attr]
    (found,) = violations_of(event)
    assert (found.field, found.value) == ("inspection_completed.kind", "999")


def test_code_that_is_not_in_force_is_refused_only_in_our_own_tables() -> None:
    """A division unknown to GB/T 2260 is refused; a foreign system's code is not judged."""
    event = example("inspections", "inspection_completed")
    event.envelope.division.code = "999999999"
    (found,) = violations_of(event)
    assert (found.field, found.value) == ("envelope.division.code", "999999999")
    assert found.reason == ErrorReason.ERROR_REASON_CODE_UNKNOWN
    event.envelope.division.code_system = "us-zip"
    prepared(event)


def test_code_inside_a_list_is_refused_with_its_place() -> None:
    """The path names the element of the list."""
    event = example("inspections", "inspection_completed")
    event.inspection_completed.findings[1].code.code = "NO-SUCH"  # type: ignore[union-attr]
    (found,) = violations_of(event)
    assert found.field == "inspection_completed.findings[1].code.code"


def test_fields_set_by_the_intake_are_refused_from_a_client() -> None:
    """record_time, recorded_by, event_id, submitted_entity_key and MOVED belong to the intake."""
    event = example("inspections", "inspection_completed")
    envelope = event.envelope
    envelope.record_time.FromSeconds(1)
    envelope.recorded_by = "me"
    envelope.event_id = "x"
    envelope.submitted_entity_key.CopyFrom(envelope.entity_key)
    envelope.disposition = Disposition.DISPOSITION_MOVED
    assert sorted(found.field for found in violations_of(event)) == [
        "envelope.disposition",
        "envelope.event_id",
        "envelope.record_time",
        "envelope.recorded_by",
        "envelope.submitted_entity_key",
    ]


def test_unknown_field_is_refused_with_its_path_and_not_passed_on() -> None:
    """What the contract does not know could carry anything, and is neither stored nor dropped."""
    event = example("complaints", "complaint_received")
    event.envelope.MergeFromString(b"\xfa\x3e\x04Wang")  # field 1007, a string
    (found,) = violations_of(event)
    assert (found.field, found.value) == ("envelope.1007", "")


def test_everything_wrong_with_an_event_is_reported_together() -> None:
    """One answer names all: key, time, version and missing matter."""
    event = example("inspections", "inspection_completed")
    event.envelope.entity_key.value = "1"
    event.envelope.event_time.FromSeconds(NOW_S * 2)
    event.envelope.source_version = 0
    event.envelope.ClearField("matter_id")
    assert {found.field for found in violations_of(event)} == {
        "envelope.entity_key.value",
        "envelope.event_time",
        "envelope.source_version",
        "envelope.matter_id",
    }


def test_oversize_event_is_refused_before_anything_else() -> None:
    """The only thing said of it is its size."""
    event = example("inspections", "inspection_completed")
    event.envelope.source_record_id = "x" * EVENT_BYTES_MAX
    (found,) = violations_of(event)
    assert found.reason == ErrorReason.ERROR_REASON_MESSAGE_TOO_LARGE


def test_long_value_is_cut_in_the_answer() -> None:
    """An answer does not repeat kilobytes."""
    event = example("inspections", "inspection_completed")
    event.envelope.reporting_unit = "x" * 10_000
    (found,) = violations_of(event)
    assert len(found.value) == VALUE_CHARACTERS_MAX


def test_linked_entity_is_filed_under_its_root_and_keeps_the_key_that_was_sent() -> None:
    """entity_key becomes the root, submitted_entity_key what was sent; the hash does not change."""
    event = example("inspections", "inspection_completed")
    sent = event.envelope.entity_key.value
    root = "uscc:92442000XX0000027H"
    result = prepare(event, lambda _, key: root if key == f"uscc:{sent}" else key)
    assert isinstance(result, Prepared)
    stored = FAMILY_BY_NAME["inspections"].parse(result.record.value).envelope
    assert result.record.key == root.encode()
    assert f"uscc:{stored.entity_key.value}" == root
    assert stored.submitted_entity_key.value == sent
    assert result.payload_hash == prepared(event).payload_hash


def test_link_to_itself_is_refused() -> None:
    """A key cannot be given up for itself, however it is written."""
    event = example("registration", "entity_linked")
    event.entity_linked.to.CopyFrom(event.envelope.entity_key)  # type: ignore[union-attr]
    event.entity_linked.to.value = f" {event.envelope.entity_key.value} "  # type: ignore[union-attr]
    (found,) = violations_of(event)
    assert found.field == "entity_linked.to"
