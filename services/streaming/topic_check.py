"""Wait for the brokers, and refuse to start while a topic is missing or wrongly partitioned."""

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.runtime.logging import get_logger
from services.streaming.exits import EngineError, ExitCode

log = get_logger(__name__)

_RETRY_S = 0.5


async def check_topics(
    bootstrap: str, topics: Sequence[str], partition_count: int, timeout_s: float
) -> None:
    """Return when every topic exists with ``partition_count`` partitions and leaders for all.

    Brokers and topics may come up later than this process, up to ``timeout_s``. A wrong number of
    partitions does not mend itself and is refused at once.

    Raises:
        EngineError: TOPICS_UNUSABLE, naming what is wrong.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    said: str | None = None
    while True:
        try:
            problem = await _problem(bootstrap, topics, partition_count)
        except (KafkaError, OSError) as error:
            problem = f"no broker at {bootstrap} answers: {error!r}"
        if problem is None:
            return
        if problem != said:
            log.info("waiting_for_topics", problem=problem, at_most_s=timeout_s)
            said = problem
        if asyncio.get_running_loop().time() >= deadline:
            raise EngineError(ExitCode.TOPICS_UNUSABLE, f"{problem} (after {timeout_s:.0f} s)")
        await asyncio.sleep(_RETRY_S)


async def _problem(bootstrap: str, topics: Sequence[str], partition_count: int) -> str | None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = {t["topic"]: t for t in await admin.describe_topics(list(topics))}
    finally:
        await admin.close()
    for topic in topics:
        entry = described.get(topic)
        if entry is None or entry["error_code"] != 0:
            return f"topic {topic} does not exist (主题不存在)"
        partitions = entry["partitions"]
        if len(partitions) != partition_count:
            raise EngineError(
                ExitCode.TOPICS_UNUSABLE,
                f"topic {topic} has {len(partitions)} partitions, not {partition_count} "
                "(分区数不符)",
            )
        leaderless = [p["partition"] for p in partitions if p["leader"] < 0]
        if leaderless:
            return f"topic {topic} has no leader for partitions {leaderless}"
    return None
