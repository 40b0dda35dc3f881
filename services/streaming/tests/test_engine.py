"""The engine's Faust app has what the engine relies on, and its timers bear a clean stop."""

from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError

from services.streaming import engine
from services.streaming.engine import Engine
from services.streaming.settings import EngineSettings
from services.streaming.succession import Predecessor

WEEK_S = 7 * 86_400


def test_app_never_leaves_the_group_because_nothing_is_polled(tmp_path: Path) -> None:
    """A recovery of hours and a standby of weeks poll nothing; aiokafka would leave the group."""
    app = engine._faust_app("app", "localhost:9", tmp_path, EngineSettings())
    assert app.conf.broker_max_poll_interval >= WEEK_S


class ClosedFollower:
    """One whose consumer was closed while it was read, as by a clean stop."""

    async def look(self, _numbers: Any) -> dict[int, dict[str, int]]:
        """Raise what aiokafka does then."""
        raise ConsumerStoppedError


@pytest.mark.parametrize("stopping", [False, True])
async def test_follower_closed_by_a_clean_stop_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stopping: bool
) -> None:
    """At any other time it is one, and ends the process."""
    ends: list[BaseException] = []

    def ended(error: BaseException, *_: Any) -> None:
        ends.append(error)
        raise error

    monkeypatch.setattr(engine, "die_of", ended)
    made = Engine(
        "app",
        source_topics=["control"],
        control_topic="control",
        changelog_topic="changelog",
        timeline_topic="timeline",
        predecessor=Predecessor("before", "changelog-before", shadow=True),
        step_factory=lambda _: pytest.fail("no partition is made"),
        data_dir=tmp_path,
        bootstrap="localhost:9",
    )
    made._follower = ClosedFollower()  # type: ignore[assignment]
    monkeypatch.setattr(type(made.app), "should_stop", property(lambda _: stopping))
    try:
        await made._follow()
    except ConsumerStoppedError:
        assert not stopping
    assert bool(ends) is not stopping
