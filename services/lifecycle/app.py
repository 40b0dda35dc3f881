"""Composition of the lifecycle worker: topics, step, engine."""

from functools import lru_cache
from zoneinfo import ZoneInfo

from services.contracts import topics
from services.contracts.families import FAMILIES, SOURCE_TOPICS
from services.contracts.key_schemes import KeySchemes, load_key_schemes
from services.lifecycle.civil_day import civil_day
from services.lifecycle.folding.contribution import DayOf
from services.lifecycle.local_index import ZoneOf
from services.lifecycle.monitoring import DeadLetters, probe, status_writer
from services.lifecycle.record_identity import record_identity
from services.lifecycle.settings import LifecycleSettings, app_id_of
from services.lifecycle.step import LifecycleStep, StepTopics
from services.runtime.monitor import start_monitor
from services.streaming.engine import Engine
from services.streaming.metrics import EngineCollector
from services.streaming.settings import EngineSettings
from services.streaming.succession import Predecessor

DEFAULT_ZONE = ZoneInfo("Asia/Shanghai")
"""Zone of keys whose scheme is not registered: they came past the intakes and are shown too."""
RECORD_BYTES_MAX = 1_900_000
"""Below the topics' 2 MiB: a dead letter must hold a whole source record and its headers."""

TRANSACTION_TIMEOUT_MS = 30_000
"""Longer than a unit takes on an overloaded machine: the clock must not fence a live worker.
A dead one's transaction is ended by whoever takes its partitions, not by this."""


def zones(schemes: KeySchemes) -> ZoneOf:
    """Civil days by entity key: in the zone of its scheme."""

    @lru_cache(maxsize=64)
    def of_scheme(scheme: str) -> DayOf:
        row = schemes.by_name.get(scheme)
        return civil_day(row.time_zone if row is not None else DEFAULT_ZONE)

    return lambda entity_key: of_scheme(entity_key.partition(":")[0])


def step_topics() -> StepTopics:
    """The topics of the step, by their full names."""
    return StepTopics(
        families={topics.name(family.topic): family for family in FAMILIES},
        control=topics.name("control.v1"),
        timeline=topics.name("timeline.v1"),
        alerts=topics.name("alerts.v1"),
        dead_letter=topics.name("dead-letter.v1"),
        links=topics.name("links.v1"),
    )


def build_engine(settings: LifecycleSettings) -> Engine:
    """Compose the worker; nothing is opened or connected yet."""
    names = step_topics()
    schemes = load_key_schemes()
    zone_of = zones(schemes)
    engine = Engine(
        settings.app_id or app_id_of(topics.state_version()),
        source_topics=tuple(map(topics.name, SOURCE_TOPICS)),
        control_topic=names.control,
        changelog_topic=topics.name(topics.STATE_TOPIC),
        timeline_topic=names.timeline,
        side_topics=(names.alerts, names.dead_letter, names.links),
        guarded_topics=(names.alerts, names.dead_letter),
        identify=record_identity(names.alerts),
        predecessor=_predecessor(settings),
        step_factory=lambda _partition: LifecycleStep(names, zone_of, tuple(schemes.by_name)),
        data_dir=settings.data_dir,
        bootstrap=settings.kafka_bootstrap_servers,
        partition_count=topics.PARTITIONS,
        settings=EngineSettings(
            session_timeout_s=settings.session_seconds,
            record_bytes=RECORD_BYTES_MAX,
            batch_bytes=RECORD_BYTES_MAX,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=TRANSACTION_TIMEOUT_MS,
            rebuild=settings.rebuild == "allow",
        ),
    )
    if settings.status_file is not None:
        engine.app.timer(1.0)(status_writer(engine.health, settings.status_file))
    return engine


def monitored(engine: Engine, settings: LifecycleSettings) -> None:
    """Serve the worker's metrics and health, if a port is set, and watch its dead letters."""
    dead_letters = DeadLetters(engine.health, topics.name("dead-letter.v1"))
    engine.app.timer(1.0)(dead_letters.watch)
    start_monitor(
        settings.metrics,
        "lifecycle",
        probe(engine.health, engine.settings.watchdog_s),
        EngineCollector(engine.health),
        dead_letters,
    )


def _predecessor(settings: LifecycleSettings) -> Predecessor | None:
    if not settings.succeeds:
        return None
    version = topics.state_version() - 1
    if version < 1:
        message = f"succeeds={settings.succeeds}: version 1 of the state has none before it"
        raise ValueError(message)
    return Predecessor(
        settings.predecessor_app_id or app_id_of(version),
        topics.state_topic_name(version),
        shadow=settings.succeeds == "shadow",
    )
