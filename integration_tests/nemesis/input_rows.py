"""Rows of families C, E and F: bad input, a full disk, subscribers and overload."""

from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.plan import Plan, Row
from integration_tests.nemesis.schedule import Strikes
from services.streaming.exits import ExitCode

LIMITS = "integration_tests/intake/test_intake_limits.py"
PIPELINE = "services/intake/tests/test_pipeline.py"
IDENTIFIERS = "services/contracts/tests/test_identifiers.py"
POISON = "services/lifecycle/tests/test_poison.py"
STREAM_EXITS = "integration_tests/test_streaming_exits.py"
ARCHIVED = "integration_tests/test_archived_logs.py"
WATCHES = "integration_tests/reading/test_read_alerts.py"

INPUT_ROWS = (
    Row(
        "T30",
        "poison bytes on the event topics: cut, bit flipped, random, empty, none, wrong magic",
        quick=Plan((Strikes("poison", ("",), 2, (3.0, 5.0)),)),
        full=Plan(
            (
                Strikes("poison", ("a few",), 2, (3.0, 5.0)),
                Strikes("poison", ("storm",), 1, (3.0, 5.0)),
            ),
            load=LoadShape(events=4_000),
        ),
        missing="1,500 of each kind, not 10,000; the rate of good events is not compared",
    ),
    Row(
        "T31",
        "oversize events and requests",
        tests=(
            f"{LIMITS}::test_oversize_event_is_refused_alone_and_oversize_request_as_a_whole",
            f"{PIPELINE}::test_oversize_event_is_refused_before_anything_else",
            f"{POISON}::test_event_and_entry_too_large_for_the_state_are_dead_lettered",
        ),
        missing="deep nesting and a compression bomb",
    ),
    Row(
        "T32",
        "unknown fields, event types and enum values of another release",
        tests=(
            f"{PIPELINE}::test_unknown_field_is_refused_with_its_path_and_not_passed_on",
            f"{PIPELINE}::test_unknown_enum_value_is_refused",
            f"{POISON}::test_unknown_fields_are_not_copied_into_the_state",
        ),
        missing="parked event types that are applied after an upgrade",
    ),
    Row(
        "T33",
        "workers of two releases in one group",
        tests=(f"{STREAM_EXITS}::test_worker_does_not_go_on_with_the_state_of_a_newer_release",),
        missing="the newer release is a META of its form: there is one release that can go on",
    ),
    Row(
        "T34",
        "an archived log replayed by a new release to its recorded digest",
        tests=(f"{ARCHIVED}::test_archived_log_comes_to_its_recorded_outcome",),
        missing="of one release so far; 4,400 records, not 100,000",
    ),
    Row(
        "T35",
        "text abuse: full-width digits, lower case, surrogates, check characters",
        tests=(
            f"{PIPELINE}::test_full_width_lower_case_uscc_is_filed_under_its_canonical_form",
            f"{PIPELINE}::test_uscc_with_letter_for_digit_is_refused_with_the_likely_code",
            f"{IDENTIFIERS}::test_uscc_that_is_wrong_is_refused_with_the_reason",
        ),
        missing="homographs in names",
    ),
    Row(
        "T36",
        "facts without their causes: a third of every life is never told",
        full=Plan((), load=LoadShape(events=2_500, untold_share=0.33)),
        missing="such facts are not flagged as anomalies",
    ),
    Row(
        "T50",
        "the disk is full under a worker's local store, then has room again",
        full=Plan(
            (),
            full_disks={"lifecycle-0": 3},
            worker_exits=frozenset({ExitCode.LOCAL_DISK_FAILED}),
            dead_letters=0,
            load=LoadShape(events=2_500),
        ),
        missing="the broker's disk, Redis' disk",
    ),
    Row(
        "T60",
        "a subscriber that stops reading beside 49 others",
        tests=(f"{WATCHES}::test_fifty_watches_with_one_stopped_have_no_gap_and_no_repeat",),
    ),
    Row(
        "T61",
        "subscribers that cut their own connections every moment; cursors that are refused",
        full=Plan((), load=LoadShape(events=2_500, subscribers=12, restless=True)),
        tests=(f"{WATCHES}::test_watch_with_a_cursor_that_cannot_be_honoured_is_refused",),
    ),
    Row(
        "T62",
        "a subscriber that keeps every third cursor, the query side killed between",
        full=Plan(
            (Strikes("kill", ("profiles",), 4, (2.0, 4.0)),),
            load=LoadShape(events=2_000, forgetful=True),
        ),
    ),
    Row(
        "T65",
        "nine tenths of the events on one entity",
        full=Plan((), load=LoadShape(events=2_500, hot_share=0.9)),
        missing="the lag of the other partitions is not compared",
    ),
    Row(
        "T80",
        "everything lost but the record: local stores, changelog, Redis; rebuilt",
        quick=Plan(
            (), disaster=(Strikes("lose-all-but-the-record"),), load=LoadShape(events=1_000)
        ),
        full=Plan(
            (),
            disaster=(
                Strikes("lose-all-but-the-record"),
                Strikes("lose-all-but-the-record", ("killed",)),
            ),
            load=LoadShape(events=2_500),
        ),
    ),
    Row(
        "T82",
        "Redis flushed under query load",
        full=Plan(
            (Strikes("flush-redis", ("",), 3, (4.0, 6.0)),),
            disaster=(Strikes("flush-redis"),),
            load=LoadShape(events=2_500, queriers=6, query_pause_s=0.02),
        ),
    ),
)
