"""Rows of family B: groups, order, time."""

from integration_tests.nemesis.interleavings import interleave
from integration_tests.nemesis.load import LoadShape
from integration_tests.nemesis.plan import Experiment, Plan, Row
from integration_tests.nemesis.schedule import Strikes

MODULE = "integration_tests.nemesis"
WORKING_DAYS = "services/lifecycle/rules/tests/test_working_days.py"
EXITS = "integration_tests/test_streaming_exits.py"

ORDER_ROWS = (
    Row(
        "T20",
        "rebalance storm: a third worker joins and leaves again and again",
        full=Plan(
            (Strikes("join-and-leave", ("lifecycle-2",), 6, (1.0, 3.0), (2.0, 5.0)),),
            load=LoadShape(events=6_000),
        ),
        missing="six times, not every 5 s for 2 minutes",
    ),
    Row(
        "T21",
        "a fifth of all records written twice, and everything sent again",
        quick=Plan(
            (Strikes("write-again", ("",), 1, (4.0, 6.0)),),
            disaster=(Strikes("write-again"), Strikes("send-again")),
            load=LoadShape(events=1_000),
        ),
    ),
    Row("T22", "one multiset of events in 20 interleavings", quick=Experiment(interleave)),
    Row(
        "T23",
        "a twentieth of the events come last of all, up to two years late",
        full=Plan((), load=LoadShape(events=2_500, late_share=0.05)),
        missing="of an on-time run, view and open alerts are compared, not alerts cleared since",
    ),
    Row(
        "T24",
        "intakes whose clocks are an hour ahead, an hour behind, and stepping",
        full=Plan(
            (),
            wrappers={
                "registration": (f"{MODULE}.skewed_clock", "3600", "0"),
                "complaints": (f"{MODULE}.skewed_clock", "-3600", "0"),
                "inspections": (f"{MODULE}.skewed_clock", "600", "3"),
            },
            load=LoadShape(events=2_000),
        ),
        missing="tokens and a metric for skew do not exist yet",
    ),
    Row(
        "T25",
        "holidays, adjusted working days, years not published yet",
        tests=(f"{WORKING_DAYS}::test_working_days_know_holidays_and_adjusted_days",),
        missing="statutory clocks of 7, 15 and 60 days are not part of the rules in force yet",
    ),
    Row(
        "T26",
        "the consumer group deleted, then the local stores",
        full=Plan(
            (Strikes("delete-group", ("",), 1, (4.0, 6.0)),),
            disaster=(Strikes("delete-group"), Strikes("delete-stores")),
        ),
    ),
    Row(
        "T27",
        "an event topic whose first offset is not 0",
        tests=(f"{EXITS}::test_worker_whose_source_lost_its_beginning_ends",),
    ),
)
