"""What every intake test needs: a real broker with topics of the test's own."""

from collections.abc import Callable

import pytest

FreshTopics = Callable[..., str]


@pytest.fixture
def broker(kafka_bootstrap: str, fresh_topics: FreshTopics, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a real broker with topics of this test's own, known to child processes."""
    fresh_topics()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    return kafka_bootstrap
