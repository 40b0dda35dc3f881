import re

import pytest
from market_supervision.common.v1.envelope_pb2 import DISPOSITION_MOVED, DISPOSITION_WITHDRAWN
from market_supervision.registration.v1.registration_events_pb2 import RegistrationEvent

from services.contracts import topics
from services.contracts.event_types import (
    EVENT_TYPE_BY_NAME,
    EVENT_TYPES,
    LABELS_BY_FAMILY,
    event_type,
    event_type_of,
)
from services.contracts.examples import load_example
from services.contracts.families import FAMILIES, family_of


def test_labels_stand_for_every_arm_and_nothing_else() -> None:
    """Every arm of every family has a label, and no label is left over."""
    for family in FAMILIES:
        assert set(LABELS_BY_FAMILY[family.name]) == set(family.arms), family.name


def test_labels_are_chinese_and_english() -> None:
    """A label's first text is Chinese, its second English, and no two types share one."""
    for kind in EVENT_TYPES:
        assert re.search(r"[\u4e00-\u9fff]", kind.label.zh), kind
        assert re.fullmatch(r"[a-z -]+", kind.label.en), kind
    for family in FAMILIES:
        labels = LABELS_BY_FAMILY[family.name].values()
        assert len({label.zh for label in labels}) == len(labels)


def test_cloud_event_type_names_family_version_and_arm() -> None:
    """A CloudEvents type is market_supervision.<family>.v1.<arm> and names one type only."""
    assert event_type("penalties", "penalty_decided").cloud_event_type == (
        "market_supervision.penalties.v1.penalty_decided"
    )
    assert len(EVENT_TYPE_BY_NAME) == len(EVENT_TYPES)


def test_arm_is_the_body_message_in_snake_case() -> None:
    """An arm is named as its message, so that each can be told from the other."""
    for family in FAMILIES:
        for arm in family.arms:
            message = family.body_full_name(arm).rsplit(".", 1)[-1]
            assert re.sub(r"(?<!^)(?=[A-Z])", "_", message).lower() == arm


@pytest.mark.parametrize(
    ("disposition", "arm"),
    [(DISPOSITION_WITHDRAWN, "record_withdrawn"), (DISPOSITION_MOVED, "record_moved")],
)
def test_type_of_a_withdrawn_or_moved_record_is_never_its_arm(disposition: int, arm: str) -> None:
    """Who selects by type never takes a withdrawn fact for a new one, with or without a body."""
    event = load_example("penalties", "penalty_decided")
    event.envelope.disposition = disposition  # type: ignore[assignment]
    assert event_type_of(event) is event_type("penalties", arm)
    event.ClearField("penalty_decided")  # type: ignore[arg-type]
    assert event_type_of(event) is event_type("penalties", arm)


def test_type_of_an_asserted_event_without_body_is_refused() -> None:
    """An asserted event without a body has no type."""
    with pytest.raises(ValueError, match="no body"):
        event_type_of(RegistrationEvent())


def test_families_name_topics_of_the_catalogue() -> None:
    """Every family's topic is in the catalogue, and its message finds it again."""
    for family in FAMILIES:
        assert topics.short_name(topics.name(family.topic)) == family.topic
        assert family_of(family.message_class()) is family
