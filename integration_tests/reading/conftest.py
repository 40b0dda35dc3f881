"""The read side on real servers, with topics and processes of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.reading.read_side import ReadSide, read_side
from services.contracts.families import FAMILIES
from services.contracts.topics import TOPICS

USED = {"lifecycle.v1", "timeline.v1", "links.v1", "alerts.v1", *(f.topic for f in FAMILIES)}


@pytest.fixture
def side(
    kafka_bootstrap: str,
    fresh_redis: str,
    fresh_topics: Callable[..., str],
    run_directory: Path,
) -> Iterator[ReadSide]:
    """Topics are made, Redis is empty; nothing is started yet."""
    fresh_topics(catalogue=[topic for topic in TOPICS if topic.short_name in USED])
    with read_side(kafka_bootstrap, fresh_redis, run_directory) as made:
        yield made
