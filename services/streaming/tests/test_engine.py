"""The engine's Faust app has what the engine relies on."""

from pathlib import Path

from services.streaming import engine
from services.streaming.settings import EngineSettings

WEEK_S = 7 * 86_400


def test_app_never_leaves_the_group_because_nothing_is_polled(tmp_path: Path) -> None:
    """A recovery of hours and a standby of weeks poll nothing; aiokafka would leave the group."""
    app = engine._faust_app("app", "localhost:9", tmp_path, EngineSettings())
    assert app.conf.broker_max_poll_interval >= WEEK_S
