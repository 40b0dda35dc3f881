"""The feed counts as delivered what is settled without a gap, and never more."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from market_supervision.intake.v1.intake_pb2 import Receipt

from services.contracts.labels import Label
from services.demo.feed import Feed, FeedRefusedError
from services.demo.season import Season, load_season
from services.importing.errors import RowProblem
from services.importing.outcomes import Accepted, Refused
from services.synthetic.city import City, build_city

SEASON = Season(1, 120, 2, 0, date(2026, 6, 30))


@pytest.fixture(scope="module")
def city() -> City:
    """One city for all tests of the file; nobody changes it."""
    return build_city(SEASON.arguments)


class HeldDelivery:
    """Holds what is sent until a test settles it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def submit(self, _family: str, _number: int, _event: Any, on_final: Any) -> None:
        """Take what `Delivery.submit` takes."""
        self.sent.append(on_final)


def _send(feed: Feed, delivery: Any, count: int) -> None:
    for number in range(count):
        feed._send(delivery, number)


def test_feed_gap_is_sent_again_by_the_next_run(city: City, tmp_path: Path) -> None:
    """A later receipt does not count before the one it follows has come."""
    file = tmp_path / "city.json"
    feed, delivery = Feed(SEASON, city, file), HeldDelivery()
    _send(feed, delivery, 3)
    delivery.sent[0](Accepted(Receipt()))
    delivery.sent[2](Accepted(Receipt()))
    feed._remember()
    assert load_season(file) == replace(SEASON, delivered=1)
    delivery.sent[1](Accepted(Receipt()))
    feed._remember()
    assert load_season(file) == replace(SEASON, delivered=3)
    assert sum(feed.accepted.values()) == 3


async def test_feed_refusal_ends_the_run(city: City, tmp_path: Path) -> None:
    """A refused submission is a defect and is told, with its source key and the reason."""
    feed, delivery = Feed(SEASON, city, tmp_path / "city.json"), HeldDelivery()
    _send(feed, delivery, 1)
    delivery.sent[0](Refused((RowProblem("event.envelope", "", Label("错", "wrong")),)))
    with pytest.raises(FeedRefusedError, match="wrong"):
        await feed._wait_until_under_way(delivery, 0, 1)  # type: ignore[arg-type]


def test_feed_past_ends_where_the_present_begins(city: City, tmp_path: Path) -> None:
    """Past and present together are all submissions, split at the first day of the present."""
    feed = Feed(SEASON, city, tmp_path / "city.json")
    begins = city.arguments.present_begins
    past, present = city.submissions[: feed.past_total], city.submissions[feed.past_total :]
    assert past[-1].arrives.date() < begins <= present[0].arrives.date()
    assert present
