"""Events are counted by what was answered."""

from market_supervision.intake.v1.intake_pb2 import Receipt
from prometheus_client import CollectorRegistry

from services.intake import refusals
from services.intake.metrics import IntakeFigures, IntakeMetrics


def test_outcomes_are_counted_by_reason() -> None:
    """A receipt, and each reason of a refusal by its name in the contract."""
    figures = IntakeFigures()
    figures.settled([Receipt(), refusals.buffer_full(), Receipt(), refusals.not_ready()])
    registry = CollectorRegistry()
    registry.register(IntakeMetrics(figures, lambda: True))
    counted = {
        outcome: registry.get_sample_value("intake_events_total", {"outcome": outcome})
        for outcome in ("RECEIPT", "BUFFER_FULL", "NOT_READY", "OUTCOME_UNKNOWN")
    }
    assert counted == {"RECEIPT": 2, "BUFFER_FULL": 1, "NOT_READY": 1, "OUTCOME_UNKNOWN": None}
