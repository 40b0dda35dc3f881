"""Typed settings from environment variables, and nothing else.

A service's own fields are MARKET_SUPERVISION_<SERVICE>__<FIELD>, nested ones joined by two
underscores (MARKET_SUPERVISION_PROFILES__SERVER__PORT). What all share has no prefix:
KAFKA_BOOTSTRAP_SERVERS and REDIS_URL.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

VARIABLE_PREFIX = "MARKET_SUPERVISION_"
SHARED_VARIABLES = {
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "redis_url": "REDIS_URL",
}
MESSAGE_BYTES_MAX = 4 * 1024 * 1024


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message names variable, value and reason (配置错误)."""


class LogFormat(StrEnum):
    """How log lines are written (日志格式)."""

    AUTO = "auto"
    """Text on a terminal, JSON elsewhere."""
    JSON = "json"
    TEXT = "text"


class LogSettings(BaseModel):
    """What is logged and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    format: LogFormat = LogFormat.AUTO


class GrpcServerSettings(BaseModel):
    """Where a service listens and what it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Loopback only, until calls are authorised by a policy."""
    port: int = Field(default=0, ge=0, le=65535)
    """0: the operating system chooses; see `ready_file`."""
    ready_file: Path | None = None
    """Written when listening: JSON with `service`, `host`, `port`, `pid`."""
    reflection: bool = True
    """Answer descriptor queries, so that clients work without stubs. Off in production."""
    message_bytes_max: int = Field(default=MESSAGE_BYTES_MAX, ge=1024)
    """Largest message in either direction."""
    unary_seconds_max: float = Field(default=30.0, gt=0)
    """A call that is not a stream ends after this long, whatever deadline the caller set."""
    calls_max: int = Field(default=2_000, ge=1)
    """Calls and streams open at once; more are refused with RESOURCE_EXHAUSTED."""
    drain_seconds: float = Field(default=5.0, ge=0)
    """How long open calls may go on after SIGTERM."""


class MonitorSettings(BaseModel):
    """Where a process serves metrics and health (see `services.runtime.monitor`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Loopback only, unless `open_to_network`."""
    open_to_network: bool = False
    """Serve at any address: whoever reaches it reads the figures unasked; they name no entity."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """Unset: no server. 0: the operating system chooses; see `address_file`."""
    address_file: Path | None = None
    """Written when listening: JSON with `service`, `host`, `port`, `pid`."""


class ServiceSettings(BaseSettings):
    """Base of every service's settings class; read with `load_settings`."""

    model_config = SettingsConfigDict(
        env_nested_delimiter="__", frozen=True, extra="forbid", populate_by_name=True
    )

    log: LogSettings = LogSettings()
    metrics: MonitorSettings = MonitorSettings()


class KafkaSettings(ServiceSettings):
    """Base of services that talk to Kafka; combine freely with the other bases."""

    kafka_bootstrap_servers: str = Field(
        min_length=1, validation_alias=SHARED_VARIABLES["kafka_bootstrap_servers"]
    )
    """`host:port[,host:port]` of the brokers."""


class RedisSettings(ServiceSettings):
    """Base of services that talk to Redis; combine freely with the other bases."""

    redis_url: str = Field(
        pattern="^(redis|rediss|unix)://", validation_alias=SHARED_VARIABLES["redis_url"]
    )
    """`redis://host:port/database`."""


Settings = TypeVar("Settings", bound=BaseSettings)


def load_settings(kind: type[Settings], service: str) -> Settings:
    """Read the settings of a service (`registration`, `profiles`, …) from the environment.

    Raises ConfigurationError naming every variable that is missing, wrong or not known.
    """
    prefix = f"{VARIABLE_PREFIX}{service.upper().replace('-', '_')}__"
    problems = [
        f"- {name}: no such setting (无此配置项)"
        for name in sorted(os.environ)
        if name.startswith(prefix)
        and name.removeprefix(prefix).partition("__")[0].lower() not in kind.model_fields
    ]
    try:
        settings = kind(_env_prefix=prefix)
    except ValidationError as error:
        problems += [
            f"- {_variable(prefix, item['loc'])}: {item['msg']}{_given(item)}"
            for item in error.errors(include_url=False)
        ]
    if problems:
        message = f"settings of {service} (服务配置错误):\n" + "\n".join(problems)
        raise ConfigurationError(message)
    return settings


def _variable(prefix: str, location: tuple[int | str, ...]) -> str:
    name = "__".join(str(part) for part in location)
    return name if name in SHARED_VARIABLES.values() else prefix + name.upper()


def _given(item: ErrorDetails) -> str:
    if item["type"] == "missing":
        return ""
    # What stands before the `@` of a URL is a name and a password.
    shown = repr(item["input"])
    return f" (got {'***@' + shown.rpartition('@')[2] if '@' in shown else shown})"
