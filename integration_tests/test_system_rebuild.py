"""The whole system loses everything but the record, and comes to the same again.

Alerts are compared byte for byte and place for place: what stands on the topic stays as it is, and
nothing is added. Queries answer meanwhile from the view as it was, or say that they cannot; nobody
is told that an entity he knows is unknown.
"""

import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import redis
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub
from typer.testing import CliRunner

from integration_tests.system.city_log import (
    CONTROL,
    CityLog,
    Feed,
    city_log,
    make_time_lapse_topics,
)
from integration_tests.system.support import outcome, publish_rules, read_topic, wait_applied
from services.cli.main import app
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem
from services.local.waiting import poll_until

pytestmark = pytest.mark.timeout(600)

ENTITIES = 130
ALL_DAYS = 36_500
REBUILD = "MARKET_SUPERVISION_LIFECYCLE__REBUILD"


@pytest.fixture
def log() -> CityLog:
    """The log that is folded twice."""
    return city_log(ENTITIES)


@pytest.fixture
def system(
    kafka_bootstrap: str,
    redis_url: str,
    run_directory: Path,
    log: CityLog,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalSystem]:
    """A system with the log on its topics, nothing of it started."""
    prefix = f"{run_directory.name}."
    monkeypatch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
    make_time_lapse_topics(kafka_bootstrap)
    publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS, timestamp_ms=log.begins_ms - 1)
    feed = Feed(kafka_bootstrap, log.records, is_read=False)
    feed.start()
    feed.finish()
    extra = {"MARKET_SUPERVISION_LIFECYCLE__SESSION_SECONDS": "6"}
    with owned_run_directory(run_directory / "system"):
        system = LocalSystem(
            run_directory / "system", kafka_bootstrap, redis_url, prefix, dict(extra)
        )
        try:
            yield system
        finally:
            system.stop()


class Asking(threading.Thread):
    """Asks for known entities one after the other, and counts the kinds of answers."""

    def __init__(self, address: str, names: list[str]) -> None:
        super().__init__(name="asking", daemon=True)
        self._address, self._names = address, names
        self._enough = threading.Event()
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until told to stop."""
        with grpc.insecure_channel(self._address) as channel:
            stub = EntityProfileServiceStub(channel)
            while not self._enough.wait(0.02):
                name = self._names[self.answers.total() % len(self._names)]
                try:
                    stub.GetEntityProfile(
                        profiles.GetEntityProfileRequest(name=f"entities/{name}"), timeout=30
                    )
                    self.answers["answered"] += 1
                except grpc.RpcError as error:
                    self.answers[error.code().name] += 1

    def stop(self) -> Counter[str]:
        """Stop asking; return how often each kind of answer came."""
        self._enough.set()
        self.join(60)
        return self.answers


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
    poll_until(lambda: asking.answers["answered"] > 20, timeout_seconds=60, what="answers")
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
