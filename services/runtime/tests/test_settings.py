"""Settings from the environment."""

import pytest

from services.runtime.settings import (
    ConfigurationError,
    GrpcServerSettings,
    KafkaSettings,
    RedisSettings,
    load_settings,
)


class ExampleSettings(KafkaSettings, RedisSettings):
    """What some service might read."""

    server: GrpcServerSettings = GrpcServerSettings()
    buffer_records_max: int = 500


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Provide the variables all services need."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    return monkeypatch


def test_fields_come_from_the_services_own_variables(environment: pytest.MonkeyPatch) -> None:
    """Shared variables have no prefix, own ones carry the service's name, nested ones two bars."""
    environment.setenv("MARKET_SUPERVISION_REGISTRATION__BUFFER_RECORDS_MAX", "7")
    environment.setenv("MARKET_SUPERVISION_REGISTRATION__SERVER__PORT", "4711")
    environment.setenv("MARKET_SUPERVISION_REGISTRATION__LOG__LEVEL", "DEBUG")
    environment.setenv("MARKET_SUPERVISION_PENALTIES__BUFFER_RECORDS_MAX", "8")
    settings = load_settings(ExampleSettings, "registration")
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.buffer_records_max, settings.server.port) == (7, 4711)
    assert settings.log.level == "DEBUG"


def test_every_wrong_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    """Missing, out of range, mistyped and unknown settings are all told in one message."""
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")
    environment.setenv("REDIS_URL", "localhost:6379")
    environment.setenv("MARKET_SUPERVISION_REGISTRATION__SERVER__PORT", "70000")
    environment.setenv("MARKET_SUPERVISION_REGISTRATION__BUFER", "7")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ExampleSettings, "registration")
    lines = str(caught.value).splitlines()[1:]
    named = sorted(line.removeprefix("- ").partition(":")[0] for line in lines)
    assert named == [
        "KAFKA_BOOTSTRAP_SERVERS",
        "MARKET_SUPERVISION_REGISTRATION__BUFER",
        "MARKET_SUPERVISION_REGISTRATION__SERVER__PORT",
        "REDIS_URL",
    ]
    assert "'70000'" in str(caught.value)


def test_password_of_a_refused_redis_url_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a wrong setting ends in logs and terminals."""
    monkeypatch.setenv("REDIS_URL", "http://reader:hunter2@redis:6379/0")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(RedisSettings, "projection")
    assert "redis:6379" in str(refused.value)
    assert "hunter2" not in str(refused.value)
