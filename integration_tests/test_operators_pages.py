"""The pages for operators name every metric and every exit code, and none that does not exist."""

import re
from pathlib import Path
from typing import cast

from services.intake.metrics import IntakeFigures, IntakeMetrics
from services.lifecycle.monitoring import DeadLetters
from services.profiles.metrics import ProfilesMetrics
from services.profiles.watches import Watches
from services.projection.metrics import ProjectionFigures, ProjectionMonitor
from services.runtime.call_metrics import CallFigures
from services.streaming.exits import ExitCode
from services.streaming.health import EngineHealth, PartitionHealth
from services.streaming.metrics import EngineCollector

PAGES = Path(__file__).resolve().parents[1] / "docs" / "operating"
OURS = re.compile(
    r"\b((?:stream|projection|intake|grpc|alert_watches|lifecycle|profiles)_[a-z_]+)\b"
)


class NoWatches:
    """Watches of nobody."""

    open_now = following = fell_behind = opened = cut = 0


def served() -> set[str]:
    """Names of all families, counters with their ending."""
    health = EngineHealth()
    health.own({0: PartitionHealth()})
    projection = ProjectionMonitor()
    projection.figures = ProjectionFigures({(0, "x"): 0}, {(0, "x"): 0})
    collectors = [
        EngineCollector(health),
        DeadLetters(health, "x"),
        projection,
        IntakeMetrics(IntakeFigures(), lambda: True),
        CallFigures(),
        ProfilesMetrics(cast("Watches", NoWatches())),
    ]
    return {
        family.name + ("_total" if family.type == "counter" else "")
        for collector in collectors
        for family in collector.collect()
    }


def test_alarms_page_lists_every_metric_and_no_other() -> None:
    """A metric nobody can look up is none; one that does not exist never alarms."""
    page = (PAGES / "alarms.md").read_text("utf-8")
    assert set(OURS.findall(page)) == served()


def test_exit_codes_of_the_stream_worker_are_told_in_one_table() -> None:
    """Two tables give two kinds of advice, and a new code gets into one of them."""
    rows = [
        (page.name, row)
        for page in PAGES.glob("*.md")
        for row in re.findall(r"^\| (\d\d) [|`]", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(rows) == [("running.md", str(code.value)) for code in ExitCode]


def test_alarms_about_what_is_gone_speak_when_nothing_is_served() -> None:
    """With every worker dead there is no sample, and a comparison of no sample holds nowhere."""
    page = (PAGES / "alarms.md").read_text("utf-8")
    alarms = dict(re.findall(r"^\| \[([^]]+)\]\([^)]+\) \| `([^`]+)` \|", page, re.MULTILINE))
    ready = {name for name in served() if name.endswith("_ready")}
    assert ready >= {"stream_worker_ready", "stream_partition_ready", "projection_ready"}
    whole = " or ".join(alarms.values())
    for name in ready - {"stream_partition_ready"}:
        assert f"absent({name})" in whole, name
    assert re.search(r"\(count\(.*stream_partition_ready == 1.*\) or vector\(0\)\) < 12", whole)
