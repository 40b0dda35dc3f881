"""The rows of deploy/config/rules, judged on hand-made views."""

from datetime import UTC, date, datetime

import pytest
from market_supervision.alerts.v1 import alert_pb2

from services.contracts.bundles import build_bundle, read_files
from services.lifecycle.alerting import alert_id
from services.lifecycle.features.days import day_of
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.evaluation import evaluate
from services.lifecycle.testing import MadeFact, MadeView, changed

MARCH_10 = date(2026, 3, 10)


@pytest.fixture(scope="module")
def bundle() -> CompiledBundle:
    """The rules as they stand in the configuration."""
    return CompiledBundle.from_bundle(
        build_bundle(read_files(), 7, datetime(2026, 1, 1, tzinfo=UTC))
    )


def complaint(day: date, number: int = 1) -> MadeFact:
    """A complaint of a day."""
    return MadeFact("complaints.complaint_received", day_of(day), f"c12315/{day}-{number}")


def fed(bundle: CompiledBundle, view: MadeView, *facts: MadeFact) -> list[alert_pb2.AlertRecord]:
    """Feed facts one by one, as the stream does."""
    records = []
    for fact in facts:
        view.facts.append(fact)
        records += view.apply(evaluate(bundle, view, changed(fact)))
    return records


def test_complaint_burst_at_the_fifth_complaint_raises_once(bundle: CompiledBundle) -> None:
    """The fifth complaint within seven days raises one alert for the month; the sixth adds nothing."""
    view = MadeView(MARCH_10)
    facts = [complaint(date(2026, 3, day), n) for n, day in enumerate((4, 6, 8, 9, 10, 10))]
    assert not fed(bundle, view, *facts[:4])
    (record,) = fed(bundle, view, facts[4])
    assert record.transition == alert_pb2.ALERT_TRANSITION_RAISED
    alert = record.alert
    assert alert.episode_key == "month:2026-03"
    assert alert.alert_id == alert_id("R01-complaint-burst", view.entity_key, "month:2026-03")
    assert "收到投诉5件" in alert.reason.zh
    assert "received 5 complaints in the 7 days to 10 March 2026" in alert.reason.en
    assert [e.event_id for e in alert.evidence] == sorted(
        (f.event_id for f in facts[:5]), key=lambda e: e.rpartition("@")[2], reverse=True
    )
    assert not fed(bundle, view, facts[5])
