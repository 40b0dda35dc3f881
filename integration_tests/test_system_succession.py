"""A second version of the state takes over in the whole system: queries go on, alerts are exact.

The format is the same in both versions, so the state must be, and so must be what follows from it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from market_supervision.alerts.v1.alert_pb2 import ALERT_STATE_OPEN
from typer.testing import CliRunner

from integration_tests.system.city_log import CONTROL, city_log
from integration_tests.system.city_system import Asking, city_system, feed
from integration_tests.system.support import (
    alert_records,
    outcome,
    read_topic,
    view_digest,
    wait_applied,
)
from services.cli.main import app
from services.contracts.topics import CATALOGUE, PARTITIONS, STATE_TOPIC, STATE_VERSION_VARIABLE
from services.local.system import LocalSystem
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics
from services.streaming.exits import ExitCode
from services.synthetic.expectations import AlertEnd

pytestmark = pytest.mark.timeout(1500)

ENTITIES = 130


def start(system: LocalSystem, name: str, like: str, environment: Mapping[str, str]) -> None:
    """Start a service like another one, with further environment."""
    child = system.child(like)
    status = {
        variable: str(system.status_file(name))
        for variable in child.environment
        if variable.endswith("__STATUS_FILE")
    }
    data = system.run_directory / "data" / name
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = {variable: str(data) for variable in child.environment if variable.endswith("__DATA_DIR")}
    merged = {**child.environment, **status, **own, **environment}
    system.supervisor.start(replace(child, name=name, environment=merged))


def wait_said(system: LocalSystem, worker: str, words: str) -> None:
    """Wait until a worker's log contains ``words``; whoever exits meanwhile comes back."""
    log = system.run_directory / "logs" / f"{worker}.log"

    def said() -> bool:
        system.supervisor.check()
        return words in log.read_text()

    poll_until(said, timeout_seconds=400, what=f"{worker} says {words}")


def test_next_version_takes_over_while_queries_are_answered(
    kafka_bootstrap: str, redis_url: str, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shadow, comparison, switch with a kill in it, and the read model after it.

    The worker of the former version is not stopped: it is fenced, and then refused.
    """
    log = city_log(ENTITIES)
    half, rest = len(log.records) // 2, len(log.records) // 4
    known = sorted({r.key.decode() for r in log.records[:half] if r.topic != CONTROL})
    with city_system(kafka_bootstrap, redis_url, run_directory, log.begins_ms) as system:
        feed(kafka_bootstrap, log.records[:half])
        # Said to each, or one started again would take over what this process sets for itself.
        system.extra = {**system.extra, STATE_VERSION_VARIABLE: "1"}
        system.start("lifecycle-0", "projection", "profiles")
        wait_applied(kafka_bootstrap)
        before = outcome(kafka_bootstrap)
        alerts = read_topic(kafka_bootstrap, "alerts.v1")
        timeline = len(read_topic(kafka_bootstrap, "timeline.v1"))
        app_id = f"{run_directory.name}-lifecycle"
        second = {
            STATE_VERSION_VARIABLE: "2",
            "MARKET_SUPERVISION_LIFECYCLE__APP_ID": f"{app_id}-2",
            "MARKET_SUPERVISION_LIFECYCLE__PREDECESSOR_APP_ID": app_id,
            "MARKET_SUPERVISION_LIFECYCLE__SUCCEEDS": "shadow",
        }
        asking = Asking(system.wait_serving(["profiles"])["profiles"], known)
        asking.start()

        monkeypatch.setenv(STATE_VERSION_VARIABLE, "2")
        ensure_topics(kafka_bootstrap, catalogue=[CATALOGUE[STATE_TOPIC]])
        start(system, "lifecycle-next", "lifecycle-0", second)
        wait_applied(kafka_bootstrap, look_after=system.supervisor.check)
        told = CliRunner().invoke(
            app, ["rebuild", "status", "--endpoint", f"kafka={kafka_bootstrap}"]
        )
        assert (told.exit_code, told.stdout.count("whole")) == (0, PARTITIONS), told.output
        assert view_digest(kafka_bootstrap) == before.view
        assert read_topic(kafka_bootstrap, "alerts.v1") == alerts
        assert len(read_topic(kafka_bootstrap, "timeline.v1")) == timeline

        assert system.supervisor.stop("lifecycle-next") == 0
        second["MARKET_SUPERVISION_LIFECYCLE__SUCCEEDS"] = "live"
        feed(kafka_bootstrap, log.records[half:-rest])
        start(system, "lifecycle-next", "lifecycle-0", second)
        wait_said(system, "lifecycle-next", "predecessor_closed")
        system.process("lifecycle-next").kill()
        feed(kafka_bootstrap, log.records[-rest:])
        # Fenced, it has to be told by a commit of its own; then it may not go on.
        wait_said(system, "lifecycle-0", ExitCode.STATE_VERSION.name)
        system.supervisor.stop("lifecycle-0")
        assert system.supervisor.stop("projection") == 0
        start(system, "projection", "projection", {STATE_VERSION_VARIABLE: "2"})
        wait_applied(kafka_bootstrap, look_after=system.supervisor.check)
        answered = asking.answers["answered"]
        poll_until(
            lambda: asking.answers["answered"] > answered + 50, timeout_seconds=120, what="asking"
        )
        answers = asking.stop()
        assert set(answers) == {"answered"}, answers

        assert set(alerts) <= set(read_topic(kafka_bootstrap, "alerts.v1"))
        records = alert_records(kafka_bootstrap)
        ids = [record.alert_event_id for record in records]
        assert len(set(ids)) == len(ids)
        last = {record.alert.alert_id: record.alert for record in records}
        standing = {
            (alert.rule.rule_id.partition("-")[2], alert.entity_key, alert.episode_key)
            for alert in last.values()
            if alert.state == ALERT_STATE_OPEN
        }
        expected = {
            (each.rule, each.entity_key, each.episode_key)
            for each in log.city.expected
            if each.end is AlertEnd.OPEN
        }
        assert standing == expected
