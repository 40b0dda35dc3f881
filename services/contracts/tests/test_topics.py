"""The topic catalogue."""

import pytest

from services.contracts import topics
from services.contracts.topics import CATALOGUE, TOPICS, Cleanup, TimestampType

READ_BY_LIFECYCLE_IN_ORDER = {
    "registration.v1",
    "inspections.v1",
    "complaints.v1",
    "penalties.v1",
    "control.v1",
    "alert-actions.v1",
    "relocated.v1",
}
"""Merged by append time, so the broker's clock must be the one that counts."""


def test_topics_merged_by_append_time_carry_the_brokers_clock() -> None:
    """Whatever lifecycle merges is stamped by the broker; its own changelog is not merged."""
    merged = {
        topic.short_name
        for topic in TOPICS
        if "lifecycle" in topic.consumers and topic.short_name != "lifecycle.v1"
    }
    assert merged == READ_BY_LIFECYCLE_IN_ORDER
    for name in merged:
        assert CATALOGUE[name].settings()["message.timestamp.type"] == "LogAppendTime"


def test_no_topic_loses_anything_by_age_or_size() -> None:
    """Records go only when a newer one of the same key stands in a compacted topic."""
    for topic in TOPICS:
        settings = topic.settings()
        assert settings["retention.ms"] == "-1"
        assert settings["retention.bytes"] == "-1"
        assert "compact,delete" not in settings["cleanup.policy"]
    compacted = {topic.short_name for topic in TOPICS if topic.cleanup is Cleanup.COMPACT}
    events = {"registration.v1", "inspections.v1", "complaints.v1", "penalties.v1"}
    assert not compacted & (events | {"alerts.v1", "dead-letter.v1", "alert-actions.v1"})


def test_catalogue_names_every_topic_once() -> None:
    """Two topics never share a name."""
    assert len(CATALOGUE) == len(TOPICS)


def test_name_and_short_name_are_inverse_under_any_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own prefix changes every name, and back."""
    assert topics.name("alerts.v1") == "market-supervision.alerts.v1"
    monkeypatch.setenv(topics.TOPIC_PREFIX_VARIABLE, "test-7.")
    for topic in TOPICS:
        full = topics.name(topic.short_name)
        assert full.startswith("test-7.")
        assert topics.short_name(full) == topic.short_name


@pytest.mark.parametrize(
    "full_name", ["alerts.v1", "market-supervision.alerts.v2", "other.alerts.v1"]
)
def test_foreign_topic_has_no_short_name(full_name: str) -> None:
    """A topic that is not in the catalogue is refused, not guessed."""
    with pytest.raises(ValueError, match="not a topic of the catalogue"):
        topics.short_name(full_name)


def test_timestamp_types_are_kafkas_own_words() -> None:
    """The settings are sent to the broker as they stand."""
    assert {kind.value for kind in TimestampType} == {"LogAppendTime", "CreateTime"}


def test_state_topic_is_that_of_the_version_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that reads or writes the state in one process means the same version of it."""
    assert topics.name("lifecycle.v1") == "market-supervision.lifecycle.v1"
    monkeypatch.setenv(topics.STATE_VERSION_VARIABLE, "3")
    assert topics.name("lifecycle.v1") == "market-supervision.lifecycle.v3"
    assert topics.short_name("market-supervision.lifecycle.v3") == "lifecycle.v1"
    assert topics.name("timeline.v1") == "market-supervision.timeline.v1"
    assert topics.state_topic_name(topics.state_version() - 1).endswith("lifecycle.v2")


@pytest.mark.parametrize("given", ["", "0", "100", "two", "-1", "２"])
def test_version_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """A typing mistake must not become the name of a topic."""
    monkeypatch.setenv(topics.STATE_VERSION_VARIABLE, given)
    with pytest.raises(ValueError, match="not from 1 to 99"):
        topics.name("lifecycle.v1")
