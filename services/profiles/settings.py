"""Settings of the query side: MARKET_SUPERVISION_PROFILES__<FIELD>."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.readmodel.keys import NAMESPACE_DEFAULT
from services.runtime.settings import GrpcServerSettings, KafkaSettings, RedisSettings


class WatchSettings(BaseModel):
    """Bounds of alert watches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_seconds: float = Field(default=10.0, gt=0, le=15)
    """A watch without alerts reports its progress this often."""
    queue_messages_max: int = Field(default=64, ge=1)
    """Messages that wait for one subscriber; one who falls further behind reads by himself."""
    stall_seconds: float = Field(default=30.0, gt=0)
    """A subscriber who takes no message for so long is cut, with his cursor."""
    readers_max: int = Field(default=16, ge=1)
    """Subscribers who read the past at the same time; more wait their turn."""
    reader_turn_seconds: float = Field(default=5.0, gt=0)
    """How long one of them keeps a reader while others wait, however slowly he takes what it reads.
    """
    streams_max: int = Field(default=1_000, ge=1)
    """Watches open at once; more are refused with RESOURCE_EXHAUSTED."""


class ProfilesSettings(KafkaSettings, RedisSettings):
    """What the query side may be told."""

    server: GrpcServerSettings = GrpcServerSettings()
    watch: WatchSettings = WatchSettings()
    namespace: str = Field(default=NAMESPACE_DEFAULT, pattern="^[a-z0-9-]{1,32}$")
    """First part of every key in Redis; must be the projection's."""
    data_dir: Path = Path(".run/profiles")
    """Holds the key that signs cursors, made on first start and readable by the owner only."""
    cursor_key: SecretStr | None = None
    """The key itself, at least 32 characters, the same for all instances; instead of the file."""
