"""Settings of the lifecycle worker."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.runtime.settings import KafkaSettings


class LifecycleSettings(KafkaSettings):
    """Environment: MARKET_SUPERVISION_LIFECYCLE__<FIELD>."""

    data_dir: Path
    """Directory of this worker alone: RocksDB of its partitions. Can be thrown away."""
    app_id: str = Field(default="", max_length=200)
    """Consumer group and prefix of the transactional ids; the same for all workers of a version.

    Default: market-supervision-lifecycle-v<version of the state>.
    """
    succeeds: Literal["", "shadow", "live"] = ""
    """What to do about the version before: `shadow` stays behind it and publishes nothing, `live`
    takes over from it, for ever; empty: there is none any more."""
    predecessor_app_id: str = Field(default="", max_length=200)
    """App id of the version before. Default: as that of this one, one version less."""
    status_file: Path | None = None
    """Rewritten every second: JSON with what the worker owns and how far it is."""
    rebuild: Literal["refuse", "allow"] = "refuse"
    """What to do with an empty state where alerts or dead letters stand: `allow` folds the record
    again and publishes only what does not stand there yet; see `msctl rebuild`."""
    session_seconds: float = Field(default=10.0, ge=6, le=45)
    """Silence after which the group gives this worker's partitions away."""


def app_id_of(version: int) -> str:
    """The app id of the workers of a version of the state, unless another one is set."""
    return f"market-supervision-lifecycle-v{version}"
