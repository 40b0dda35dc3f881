"""The synthetic city, run to its end through the real services: its alerts and no others."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from market_supervision.alerts.v1.alert_pb2 import ALERT_STATE_OPEN, Alert

from integration_tests.system.support import ALL_DAYS, alert_records, publish_rules, wait_folded
from services.importing import outcomes
from services.importing.delivery import Delivery
from services.importing.endpoints import Endpoints
from services.local.run_directory import owned_run_directory
from services.local.system import INTAKES, LocalSystem
from services.local.waiting import poll_until
from services.runtime import clock
from services.synthetic.city import City, CityArguments, build_city
from services.synthetic.days import CITY_ZONE
from services.synthetic.expectations import AlertEnd
from services.synthetic.records import Submission

ENTITIES = 120
SETTLE_SECONDS = 90.0
Thread = tuple[str, str, str]
"""Rule, entity key, episode key."""


@pytest.fixture
def system(
    kafka_bootstrap: str, redis_url: str, fresh_topics: Callable[..., str], run_directory: Path
) -> Iterator[LocalSystem]:
    """The intakes and a stream worker, with rules that look at all of the past."""
    prefix = fresh_topics()
    publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS)
    directory = run_directory / "city"
    with owned_run_directory(directory):
        system = LocalSystem(directory, kafka_bootstrap, redis_url, prefix)
        try:
            system.start("lifecycle-0", *INTAKES)
            yield system
        finally:
            system.stop()


async def _submit(addresses: dict[str, str], submissions: Iterable[Submission]) -> int:
    """Send everything through the intakes; return how many receipts came.

    Registration goes first: sent side by side, a visit could overtake the renewal of the licence it
    is judged by, and a near-miss would be raised and cleared on the way.
    """
    submissions = list(submissions)
    waves = (
        [s for s in submissions if s.family == "registration"],
        [s for s in submissions if s.family != "registration"],
    )
    return sum([await _submit_wave(addresses, wave) for wave in waves])


async def _submit_wave(addresses: dict[str, str], submissions: Iterable[Submission]) -> int:
    finals: list[outcomes.Final] = []
    sent = 0
    async with Delivery(Endpoints(addresses, "test"), patience_s=60) as delivery:
        for sequence, submission in enumerate(submissions):
            delivery.submit(submission.family, sequence, submission.event, finals.append)
            sent += 1
            while sent - len(finals) > 500:
                await delivery.changed()
        while len(finals) < sent:
            await delivery.changed()
        await delivery.finish()
    refused = [final for final in finals if isinstance(final, outcomes.Refused)]
    assert not refused, refused[:3]
    return len(finals)


def _thread(alert: Alert) -> Thread:
    return alert.rule.rule_id.partition("-")[2], alert.entity_key, alert.episode_key


def _threads(bootstrap_servers: str) -> tuple[set[Thread], set[Thread]]:
    """Return the threads that stand open, and those that are closed."""
    latest: dict[str, Alert] = {}
    for record in alert_records(bootstrap_servers):
        latest[record.alert.alert_id] = record.alert
    standing = {_thread(a) for a in latest.values() if a.state == ALERT_STATE_OPEN}
    return standing, {_thread(a) for a in latest.values()} - standing


def _expected(city: City, *ends: AlertEnd) -> set[Thread]:
    return {(e.rule, e.entity_key, e.episode_key) for e in city.expected if e.end in ends}


def _wait_for(bootstrap_servers: str, wanted: set[Thread]) -> tuple[set[Thread], set[Thread]]:
    """Return the threads once exactly the wanted ones stand open, or what there is after a time."""
    # Not raised from here: the caller's assertion names the difference.
    with suppress(TimeoutError):
        poll_until(
            lambda: _threads(bootstrap_servers)[0] == wanted,
            timeout_seconds=SETTLE_SECONDS,
            interval_seconds=1.0,
        )
    return _threads(bootstrap_servers)


def test_city_run_to_its_end_raises_exactly_its_alerts(
    system: LocalSystem, kafka_bootstrap: str
) -> None:
    """Alerts equal the generator's list, before the corrections of its last days and after them."""
    yesterday: date = clock.utc_now().astimezone(CITY_ZONE).date() - timedelta(days=1)
    city = build_city(CityArguments(seed=11, present=yesterday, entities=ENTITIES))
    addresses = system.wait_serving(INTAKES)
    system.wait_worker()
    before = [s for s in city.submissions if s.arrives < city.clearing]
    after = [s for s in city.submissions if s.arrives >= city.clearing]

    assert asyncio.run(_submit(addresses, before)) == len(before)
    wait_folded(kafka_bootstrap)
    standing, _ = _wait_for(kafka_bootstrap, _expected(city, AlertEnd.OPEN, AlertEnd.CLOSED))
    assert standing == _expected(city, AlertEnd.OPEN, AlertEnd.CLOSED)

    assert asyncio.run(_submit(addresses, after)) == len(after)
    wait_folded(kafka_bootstrap)
    standing, closed = _wait_for(kafka_bootstrap, _expected(city, AlertEnd.OPEN))
    assert standing == _expected(city, AlertEnd.OPEN)
    assert closed >= _expected(city, AlertEnd.CLOSED)
    assert closed <= _expected(city, AlertEnd.CLOSED, AlertEnd.NOT_OPEN)

    event_ids = Counter(r.alert_event_id for r in alert_records(kafka_bootstrap))
    assert [event_id for event_id, count in event_ids.items() if count > 1] == []
