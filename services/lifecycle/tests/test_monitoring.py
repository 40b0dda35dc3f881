"""What an operator is told of a worker follows its health, and a storm is told once."""

import time

import pytest
from structlog.testing import capture_logs

from services.lifecycle import monitoring
from services.lifecycle.monitoring import STORM_LETTERS, DeadLetters, probe
from services.runtime.logging import get_logger
from services.streaming.health import EngineHealth, PartitionHealth

TOPIC = "dead-letters"


def test_worker_is_ready_only_when_all_it_owns_is_open() -> None:
    """Recovered partitions do not make a worker ready while one is still being read."""
    health = EngineHealth(assigned=True)
    health.own({0: PartitionHealth(ready=True), 1: PartitionHealth()})
    told = probe(health, watchdog_s=120.0)()
    assert (told.live, told.ready) == (True, False)
    assert told.details["open"] == [0]
    health.partitions[1].ready = True
    assert probe(health, watchdog_s=120.0)().ready


def test_worker_that_hears_nothing_of_its_brokers_is_not_ready_and_says_since_when() -> None:
    """Its lag is 0 then, because it knows of no record; that must not look like health."""
    health = EngineHealth(assigned=True)
    health.own({0: PartitionHealth(ready=True)})
    health.answered_at = time.monotonic() - 5.0
    assert probe(health, watchdog_s=120.0)().ready
    health.answered_at = time.monotonic() - 31.0
    told = probe(health, watchdog_s=120.0)()
    assert (told.live, told.ready) == (True, False)
    assert told.details["answer_age_seconds"] == pytest.approx(31.0, abs=0.5)
    assert told.details["state"] == "working"


def test_worker_whose_loop_does_not_turn_is_not_ready_and_then_not_alive() -> None:
    """It may have lost its partitions and does not know; the watchdog's time is the limit."""
    health = EngineHealth(assigned=True)
    health.loop_alive = time.monotonic() - 60.0
    told = probe(health, watchdog_s=120.0)()
    assert (told.live, told.ready) == (True, False)
    health.loop_alive = time.monotonic() - 121.0
    assert not probe(health, watchdog_s=120.0)().live


def test_storm_of_dead_letters_is_said_once_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One dead letter is no storm, and a storm is no line each."""
    health = EngineHealth()
    partition = PartitionHealth()
    health.own({0: partition})
    letters = DeadLetters(health, TOPIC)
    began = time.monotonic()
    with capture_logs() as lines:
        monkeypatch.setattr(monitoring, "log", get_logger("storm"))
        for second in range(200):
            if 10 <= second < 70:
                partition.totals.wrote(TOPIC, STORM_LETTERS // 10)
            letters.look(began + second)
    assert [line["event"] for line in lines] == ["dead_letter_storm", "dead_letter_storm_over"]
    assert lines[0]["letters"] == STORM_LETTERS
    (family,) = letters.collect()
    assert family.samples[0].value == 60 * (STORM_LETTERS // 10)
