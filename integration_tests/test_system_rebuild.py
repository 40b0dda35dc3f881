"""The whole system loses everything but the record, and comes to the same again.

Alerts are compared byte for byte and place for place: what stands on the topic stays as it is, and
nothing is added. Queries answer meanwhile from the view as it was, or say that they cannot; nobody
is told that an entity he knows is unknown.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from integration_tests.system.city_log import CONTROL, CityLog, city_log
from integration_tests.system.city_system import Asking, city_system, feed
from integration_tests.system.support import outcome, read_topic, wait_applied
from services.cli.main import app
from services.local.system import LocalSystem
from services.local.waiting import poll_until

ENTITIES = 130
REBUILD = "MARKET_SUPERVISION_LIFECYCLE__REBUILD"


@pytest.fixture
def log() -> CityLog:
    """The log that is folded twice."""
    return city_log(ENTITIES)


@pytest.fixture
def system(
    kafka_bootstrap: str, redis_url: str, run_directory: Path, log: CityLog
) -> Iterator[LocalSystem]:
    """A system with the log on its topics, nothing of it started."""
    with city_system(kafka_bootstrap, redis_url, run_directory, log.begins_ms) as system:
        feed(kafka_bootstrap, log.records)
        yield system


def msctl(*arguments: str, kafka: str) -> tuple[int, str]:
    """Run a command against a broker; return its exit code and all it printed."""
    result = CliRunner().invoke(app, [*arguments, "--endpoint", f"kafka={kafka}"])
    return result.exit_code, result.output


@pytest.mark.parametrize("redis_too", [True, False])
def test_everything_but_the_record_lost_comes_to_the_same(
    system: LocalSystem, kafka_bootstrap: str, redis_url: str, log: CityLog, *, redis_too: bool
) -> None:
    """State, local stores and, in one case, Redis: the same digest, and not one alert more."""
    system.start("lifecycle-0", "projection", "profiles")
    wait_applied(kafka_bootstrap)
    before = outcome(kafka_bootstrap)
    alerts, letters = (
        read_topic(kafka_bootstrap, name) for name in ("alerts.v1", "dead-letter.v1")
    )
    assert alerts
    address = system.wait_serving(["profiles"])["profiles"]
    known = sorted({r.key.decode() for r in log.records if r.topic != CONTROL})

    code, said = msctl("rebuild", "start", "--yes", kafka=kafka_bootstrap)
    assert code == 2, said
    assert system.supervisor.stop("lifecycle-0") == 0
    asking = Asking(address, known)
    asking.start()
    poll_until(lambda: asking.answers["answered"] > 20, timeout_seconds=120, what="answers")
    if redis_too:
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
    code, said = msctl("rebuild", "start", "--yes", kafka=kafka_bootstrap)
    assert code == 0, said
    shutil.rmtree(system.run_directory / "data" / "lifecycle-0")
    code, said = msctl("rebuild", "status", kafka=kafka_bootstrap)
    assert code == 3, said
    assert "not begun" in said

    system.extra |= {REBUILD: "allow"}  # type: ignore[operator]
    system.start("lifecycle-0")
    poll_until(
        lambda: msctl("rebuild", "status", kafka=kafka_bootstrap)[0] == 0,
        timeout_seconds=300,
        what="every partition is rebuilt",
        interval_seconds=1.0,
    )
    wait_applied(kafka_bootstrap)
    found = outcome(kafka_bootstrap)
    assert found == before, found.explain(before)
    assert read_topic(kafka_bootstrap, "alerts.v1") == alerts
    assert read_topic(kafka_bootstrap, "dead-letter.v1") == letters
    logs = (system.run_directory / "logs" / "lifecycle-0.log").read_text()
    assert '"rebuilt"' in logs
    assert not re.search(r'"differing": [1-9]', logs)
    told = asking.answers["answered"]
    poll_until(lambda: asking.answers["answered"] > told + 20, timeout_seconds=120, what="answers")
    answers = asking.stop()
    assert set(answers) <= {"answered", "UNAVAILABLE"}, answers
    assert system.supervisor.check() == []
