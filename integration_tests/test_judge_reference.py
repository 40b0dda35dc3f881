"""The judge's own fold and rules against the stream's, on drawn logs; and that it notices harm."""

from dataclasses import replace

import pytest
from market_supervision.lifecycle.v1.state_pb2 import EntityState

from integration_tests.judge.judgement import judge_log
from integration_tests.judge.raw_log import ALERTS, STATE, LogRecord, RawLog
from integration_tests.judge.verdict import Verdict
from integration_tests.system.drawn_log import Shape, draw_log

SEEDS = range(3)
SHAPES = {
    "every type": Shape(),
    "few entities, much of it": Shape(records=400, entities=1, matters=3),
    "long years": Shape(records=250, entities=2, matters=5, days=1500),
    "matters that overflow": Shape(records=400, entities=1, matters=1),
}
SMALL = Shape(records=120, entities=2)


def judged(log: RawLog) -> Verdict:
    """Return the verdict over a log alone."""
    verdict = Verdict(counts={"lost": 0, "doubled": 0})
    judge_log(log, verdict)
    return verdict


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_two_folds_written_apart_agree_on_drawn_logs(shape: str, seed: int) -> None:
    """View, alerts and accounts of the stream are what the judge computes, whatever comes."""
    max_age_days = 30 if seed % 2 else 36_500
    verdict = judged(draw_log(seed, SHAPES[shape], max_age_days=max_age_days))
    assert verdict.ok, f"seed {seed}\n{verdict}"
    assert verdict.counts["open_alerts"] + verdict.counts["dead_letters"] > 0


def _changed(log: RawLog, topic: str, records: list[LogRecord]) -> RawLog:
    return replace(log, records={**log.records, topic: records})


def test_alert_record_written_twice_is_noticed() -> None:
    """O4 reports an alert_event_id that stands twice."""
    log = draw_log(1, SMALL)
    alerts = list(log.records[ALERTS])
    assert judged(_changed(log, ALERTS, [*alerts, alerts[-1]])).found_by("O4")


def test_alert_record_missing_is_noticed() -> None:
    """O4 reports a thread whose record is not on the topic."""
    log = draw_log(1, SMALL)
    assert judged(_changed(log, ALERTS, list(log.records[ALERTS])[1:])).found_by("O4")


def test_every_field_of_an_entity_is_compared() -> None:
    """O3 or O4 reports whatever is taken out of the view of an entity."""
    log = draw_log(2, SMALL)
    state = list(log.records[STATE])
    at = max(n for n, record in enumerate(state) if (record.key or b"").endswith(b"|e"))
    entity = EntityState.FromString(state[at].value or b"")
    fields = [field.name for field, _value in entity.ListFields()]
    assert len(fields) > 10
    for name in fields:
        harmed = EntityState()
        harmed.CopyFrom(entity)
        harmed.ClearField(name)  # type: ignore[arg-type]
        record = state[at]._replace(value=harmed.SerializeToString(deterministic=True))
        verdict = judged(_changed(log, STATE, [*state[:at], record, *state[at + 1 :]]))
        assert verdict.found_by("O3") or verdict.found_by("O4"), name


def test_every_kind_of_state_record_is_missed_when_it_is_gone() -> None:
    """O3, O4 or O9 reports a state record that is not there."""
    log = draw_log(3, SHAPES["matters that overflow"])
    latest = log.latest(STATE)
    for letter in "etmyas":
        key = next(key for _partition, key in latest if f"|{letter}" in key.decode())
        state = [record for record in log.records[STATE] if record.key != key]
        verdict = judged(_changed(log, STATE, state))
        assert verdict.found_by("O3") or verdict.found_by("O4"), letter
