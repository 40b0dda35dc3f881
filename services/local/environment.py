"""The broker and the Redis a run uses: those it is told of, else its own.

KAFKA_BOOTSTRAP_SERVERS or REDIS_URL set means: use that one, start nothing, stop nothing.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.local.kafka import LocalKafka
from services.local.redis import LocalRedis

KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
REDIS_VARIABLE = "REDIS_URL"


@dataclass(frozen=True, slots=True)
class LocalEnvironment:
    """Addresses of a running broker and Redis; the servers are None when they are not ours."""

    kafka_bootstrap_servers: str
    redis_url: str
    kafka: LocalKafka | None
    redis: LocalRedis | None

    def variables(self) -> dict[str, str]:
        """Return the environment variables that point child processes at them."""
        return {KAFKA_VARIABLE: self.kafka_bootstrap_servers, REDIS_VARIABLE: self.redis_url}


@contextmanager
def local_environment(data_directory: Path) -> Iterator[LocalEnvironment]:
    """Start what is not given by the environment below ``data_directory``; stop it at the end."""
    bootstrap_servers = os.environ.get(KAFKA_VARIABLE, "")
    redis_url = os.environ.get(REDIS_VARIABLE, "")
    kafka: LocalKafka | None = None
    redis: LocalRedis | None = None
    with ExitStack() as stack:
        if not redis_url:
            redis = stack.enter_context(LocalRedis(data_directory / "redis"))
            redis_url = redis.url
        if not bootstrap_servers:
            kafka = stack.enter_context(LocalKafka(data_directory / "kafka"))
            bootstrap_servers = kafka.bootstrap_servers
        yield LocalEnvironment(bootstrap_servers, redis_url, kafka, redis)
