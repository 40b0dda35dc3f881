"""A broker and the four intakes for one import, when no system is running (自带服务)."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services.importing.endpoints import Endpoints
from services.local.environment import KAFKA_VARIABLE
from services.local.kafka import LocalKafka
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.runtime.kafka_topics import ensure_topics


@contextmanager
def own_services(directory: Path) -> Iterator[Endpoints]:
    """Run a broker with all topics and the four intakes for the time of a block.

    KAFKA_BOOTSTRAP_SERVERS set: that cluster is used, and its topics are made if missing.
    """
    with owned_run_directory(directory), ExitStack() as stack:
        bootstrap_servers = os.environ.get(KAFKA_VARIABLE, "")
        if not bootstrap_servers:
            kafka = stack.enter_context(LocalKafka(directory / "kafka"))
            bootstrap_servers = kafka.bootstrap_servers
        ensure_topics(bootstrap_servers)
        system = LocalSystem(directory, bootstrap_servers, redis_url="")
        stack.callback(system.stop)
        system.start(*INTAKES)
        addresses = system.wait_serving(INTAKES)
        yield Endpoints({**addresses, "kafka": bootstrap_servers}, str(directory))
