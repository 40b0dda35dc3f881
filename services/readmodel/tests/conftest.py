"""A real Redis for the tests of scripts, writer and reader."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from services.local.redis import LocalRedis
from services.readmodel.connection import connect
from services.readmodel.keys import Keys


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server of the session's own, or the one REDIS_URL names."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
        return
    with LocalRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[Redis]:
    """Return a client of an empty Redis."""
    made = connect(server_url)
    await made.flushall()
    yield made
    await made.aclose()


@pytest.fixture
def keys() -> Keys:
    """Return the names of some generation."""
    return Keys("cafe0001")
