"""The tables of the sizing page are those that follow from what was measured."""

import json

from integration_tests.performance import sizing
from integration_tests.performance.sizing import COSTS, PAGE, load, rendered
from integration_tests.performance.sizing_model import SCALES, Costs, adopted


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


def test_recovery_is_taken_from_the_benchmarks_where_they_have_it() -> None:
    """A quiet machine's figure counts more than the sample's own."""
    raw = json.loads(COSTS.read_text("utf-8"))
    pairs = [{"ours": {"value": value}} for value in (90_000.0, 110_000.0, 100_000.0)]
    row = {"name": "recovery_vs_bare_read", "unit": "records/s", "pairs": pairs}
    costs = Costs(adopted(raw, {"rows": [row]}))
    assert (costs.recovery_rate, costs.recovery_source) == (100_000.0, f"row {row['name']}")
    assert adopted(raw, {"rows": []}) == raw
