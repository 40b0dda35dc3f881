"""Connections to Redis, and which of its failures pass by themselves."""

import re

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004 (the name Redis gives it; used qualified by the tuple below)
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 (as above)
)

from services.readmodel.errors import UnsafeRedisError

TRANSIENT_ERRORS = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    OSError,
)
"""Redis is away, loading, full or failing over: wait and try again."""

_REFUSES_WRITES = re.compile(r"(?:^|[:\s('\"]-?)(?:OOM|MISCONF|NOREPLICAS|READONLY) ")
"""How an answer begins by which Redis refuses to write; pipelines and scripts wrap it up."""

SOCKET_TIMEOUT_SECONDS = 5.0
CONNECTIONS_MAX = 16
"""Connections of one process; more callers at once wait for one, up to the socket timeout."""
REQUIRED_POLICY = "noeviction"


def passes(error: Exception) -> bool:
    """Return whether an error passes by itself: any other is a defect, or damage.

    A Redis that refuses writes (full, its disk or its replicas away) says so in the middle of a
    script's error where it is of version 6, and with codes the client has no class for.
    """
    if isinstance(error, TRANSIENT_ERRORS):
        return True
    return isinstance(error, ResponseError) and bool(_REFUSES_WRITES.search(str(error)))


def connect(url: str) -> Redis:
    """Return a client for bytes; nothing is sent yet. The caller closes it with `aclose`.

    It never repeats a command by itself: the writer must look at the positions again first, and a
    reader's caller has a deadline.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        max_connections=CONNECTIONS_MAX,
        timeout=SOCKET_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


async def assert_never_evicts(client: Redis) -> None:
    """Raise UnsafeRedisError unless Redis refuses writes rather than drop keys when full."""
    memory = await client.info("memory")
    policy = memory.get("maxmemory_policy")
    if policy != REQUIRED_POLICY:
        raise UnsafeRedisError(
            f"maxmemory-policy is {policy!r}, must be {REQUIRED_POLICY!r}: entities would vanish "
            f"silently (内存淘汰策略必须为 {REQUIRED_POLICY}, 否则主体会无声消失)"
        )
