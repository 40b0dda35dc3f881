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


def test_pages_list_every_exit_code_of_the_stream_worker() -> None:
    """Under its number and its name."""
    for name in ("alarms.md", "running.md"):
        page = (PAGES / name).read_text("utf-8")
        for code in ExitCode:
            assert re.search(rf"\| {code.value} (\| |`){code.name}", page), (name, code.name)
