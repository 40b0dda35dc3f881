"""Real servers for tests that cross processes: Apache Kafka and Redis on loopback.

Fixtures: ``kafka_bootstrap`` and ``redis_url`` (one server a session; KAFKA_BOOTSTRAP_SERVERS and
REDIS_URL are used when set), ``fresh_topics`` (a topic prefix of the test's own), ``fresh_redis``
(the session's Redis, emptied), ``run_directory`` (for what the test itself starts).
A test that kills a server starts its own: ``LocalKafka(run_directory / "kafka")``.
`make test` runs files side by side; each of the processes is a session with servers of its own.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from integration_tests.given_up_connections import close_given_up_connections
from services.contracts.topics import TOPIC_PREFIX_VARIABLE, TOPICS, TimestampType, Topic
from services.local.environment import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.kafka import LocalKafka
from services.local.process import end_orphans
from services.local.redis import LocalRedis
from services.local.run_directory import owned_run_directory, remove_abandoned
from services.runtime.kafka_topics import ensure_topics

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / ".run" / "tests"

close_given_up_connections()

LONGEST_FIRST = (
    "test_nemesis.py",
    "test_streaming_poison.py",
    "test_judge_bugs.py",
    "test_streaming_rebuild.py",
    "test_system_disturbed.py",
    "test_streaming_exits.py",
    "test_city_demo.py",
    "test_streaming_succession.py",
    "test_step_instructions.py",
)
"""Files that take minutes. Of several run side by side none of them should be the last to begin."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests without servers first, then the long files; else the order stays."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        if HERE not in item.path.parents:
            return -1
        return places.get(item.path.name, len(places))

    items.sort(key=place)


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """Own a directory for this session, after ending what killed sessions left running."""
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with ExitStack() as owned:
        # One session after the other, else one may take the directory that the other is making.
        with (RUNS / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            remove_abandoned(RUNS)
            owned.enter_context(owned_run_directory(path))
        yield path
        end_orphans(path)


@pytest.fixture(scope="session")
def kafka_bootstrap(session_directory: Path) -> Iterator[str]:
    """Address of a real broker."""
    given = os.environ.get(KAFKA_VARIABLE)
    if given:
        yield given
        return
    with LocalKafka(session_directory / "kafka") as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture(scope="session")
def redis_url(session_directory: Path) -> Iterator[str]:
    """URL of a real Redis, shared by the session's tests."""
    given = os.environ.get(REDIS_VARIABLE)
    if given:
        yield given
        return
    with LocalRedis(session_directory / "redis") as server:
        yield server.url


@pytest.fixture
def fresh_redis(redis_url: str) -> str:
    """URL of the session's Redis, emptied for this test."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def run_directory(session_directory: Path) -> Iterator[Path]:
    """Return a directory for the test's own processes; those it leaves are ended."""
    path = session_directory / f"test-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    yield path
    end_orphans(path)


FreshTopics = Callable[..., str]


@pytest.fixture
def fresh_topics(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> FreshTopics:
    """Return a function that makes all topics under a new prefix and returns the prefix.

    The prefix is set in this process's environment for the rest of the test; child processes
    started from here inherit it. Arguments: ``timestamp_type`` (CreateTime for tests that write
    append times themselves) and ``catalogue`` (a subset of the topics).
    """

    def create(
        *, timestamp_type: TimestampType | None = None, catalogue: Iterable[Topic] = TOPICS
    ) -> str:
        prefix = f"test-{uuid.uuid4().hex[:8]}."
        monkeypatch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        ensure_topics(kafka_bootstrap, catalogue=catalogue, timestamp_type=timestamp_type)
        return prefix

    return create
