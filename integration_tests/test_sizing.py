"""The tables of the sizing page are those that follow from what was measured."""

import json

from integration_tests.performance import sizing
from integration_tests.performance.sizing import COSTS, PAGE, load, rendered
from integration_tests.performance.sizing_model import SCALES, Costs, with_recovery_of


def test_tables_of_the_page_follow_from_the_unit_costs() -> None:
    """Whoever measures anew computes the page anew: `python -m …performance.sizing`."""
    assert rendered(PAGE.read_text("utf-8"), load()) == PAGE.read_text("utf-8")


def test_tables_change_with_the_costs() -> None:
    """Twice the bytes an entity are twice the disk, and stand in the page."""
    raw = json.loads(COSTS.read_text("utf-8"))
    costs = Costs(raw)
    doubled = {kind: 2 * size for kind, size in raw["state_bytes_per_entity"].items()}
    more = Costs(raw | {"state_bytes_per_entity": doubled})
    city = SCALES[0]
    assert more.state_disk(city) == 2 * costs.state_disk(city)
    assert sizing.scale_table(more) != sizing.scale_table(costs)


def test_recovery_is_that_of_the_lifecycle_worker_on_a_quiet_machine() -> None:
    """One row alone has it: what others call recovery has no local index, or other records."""
    raw = json.loads(COSTS.read_text("utf-8"))
    pairs = [{"ours": {"value": 50.0}}]
    row = {"name": "growth_recovery_per_record", "valid": True, "pairs": pairs}
    others = [row | {"name": "recovery_from_nothing"}, row | {"valid": False}]
    costs = Costs(with_recovery_of({"rows": [row]}, raw))
    assert costs.recovery_rate == 20_000.0
    assert "`growth_recovery_per_record`" in costs.recovery_source
    assert with_recovery_of({"rows": others}, raw) == with_recovery_of({}, raw) == raw
