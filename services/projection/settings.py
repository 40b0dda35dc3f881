"""Settings of the projection: MARKET_SUPERVISION_PROJECTION__<FIELD>."""

from pathlib import Path

from pydantic import Field

from services.contracts.topics import PARTITIONS
from services.readmodel.keys import NAMESPACE_DEFAULT
from services.runtime.settings import KafkaSettings, RedisSettings


class ProjectionSettings(KafkaSettings, RedisSettings):
    """What the projection may be told."""

    partitions: tuple[int, ...] = Field(default=tuple(range(PARTITIONS)), min_length=1)
    """Partition numbers this process projects, as JSON: [0,1,2]. Default: all."""
    namespace: str = Field(default=NAMESPACE_DEFAULT, pattern="^[a-z0-9-]{1,32}$")
    """First part of every key in Redis; must be the query side's."""
    poll_records_max: int = Field(default=2_000, ge=1, le=20_000)
    """Records taken at once: they and what they become are what is held in memory."""
    heads_interval_seconds: float = Field(default=0.5, gt=0, le=5)
    """How often the ends of the source topics are asked for and published."""
    topic_check_seconds: float = Field(default=10.0, gt=0)
    """How often it is checked that no topic was deleted and created again."""
    go_back: bool = False
    """Build anew, and let answer, a read model that a newer one has superseded."""
    ready_file: Path | None = None
    """Written once this process's partitions are complete for the first time."""
