"""Puts an intake service together and runs it: settings, index, tails, publisher, server."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError as TailError
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from kafka.errors import KafkaError
from pydantic import Field

from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.data_files import DataFileError
from services.contracts.families import FAMILY_BY_NAME, Family
from services.contracts.key_schemes import load_key_schemes
from services.intake.engine import EngineSettings, IntakeEngine
from services.intake.filing import Filing
from services.intake.index import IndexIdentity, IndexLockedError, IntakeIndex
from services.intake.index_feeding import IndexFeeder
from services.intake.links import Links
from services.intake.metrics import IntakeMetrics
from services.intake.mover import Mover
from services.intake.pipeline import Pipeline
from services.intake.publisher import KafkaPublisher, PublisherSettings
from services.intake.servicer import IntakeServicer
from services.intake.tail import Reading, ReplayReader, TopicTail, TopicTruncatedError
from services.runtime.clock import now_ms
from services.runtime.grpc_server import GrpcServer
from services.runtime.header_names import read_any_header_name
from services.runtime.logging import configure_logging, get_logger
from services.runtime.monitor import Condition, start_monitor
from services.runtime.settings import (
    ConfigurationError,
    GrpcServerSettings,
    KafkaSettings,
    load_settings,
)
from services.runtime.shutdown import stop_event
from services.runtime.topic_ids import TopicMissingError, topic_ids

log = get_logger(__name__)

LINKS_TOPIC = "links.v1"

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

NANOS_PER_MS = 1_000_000

Register = Callable[[Any, aio.Server], None]


class IntakeSettings(KafkaSettings):
    """Settings of an intake service."""

    server: GrpcServerSettings = GrpcServerSettings()
    index_directory: Path
    """Where this instance keeps its index; each instance needs its own. Deleted, it is refilled."""
    engine: EngineSettings = EngineSettings()
    publisher: PublisherSettings = PublisherSettings()
    drain_seconds: float = Field(default=3.0, ge=0)
    """How long what is under way may take to settle after SIGTERM."""


def main(name: str, descriptor: ServiceDescriptor, register: Register, messages: Any) -> None:
    """Run the intake of family ``name`` until SIGTERM; ends the process with an exit code.

    ``descriptor``, ``register`` and ``messages`` come from the service's generated modules.
    """
    try:
        settings = load_settings(IntakeSettings, name)
        configure_logging(name, settings.log)
        read_any_header_name()
        asyncio.run(_serve(FAMILY_BY_NAME[name], settings, descriptor, register, messages))
    except (ConfigurationError, DataFileError, IndexLockedError, TopicMissingError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(EXIT_CONFIGURATION)
    except (KafkaError, TailError, TopicTruncatedError) as error:
        sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
        sys.exit(EXIT_FAILED)


async def _serve(
    family: Family,
    settings: IntakeSettings,
    descriptor: ServiceDescriptor,
    register: Register,
    messages: Any,
) -> None:
    stopping = stop_event()
    intake = await Intake.start(family, settings)
    server = GrpcServer(settings.server, service=family.name)
    server.add_service(descriptor, register, IntakeServicer(family.name, intake.engine, messages))
    engine = intake.engine

    def condition() -> Condition:
        return Condition(live=True, ready=engine.is_ready and not stopping.is_set())

    metrics = IntakeMetrics(engine.figures, lambda: engine.is_ready)
    start_monitor(settings.metrics, family.name, condition, metrics, server.figures)
    await server.start()
    working = asyncio.create_task(intake.run(server))
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    # It never ends by itself: an index that no longer follows the log must not answer.
    failure = working.exception() if working.done() else None
    await server.stop()
    await intake.engine.drain(settings.drain_seconds)
    working.cancel()
    await asyncio.wait([working])
    await intake.close(settings.drain_seconds)
    if failure is not None:
        log.critical("intake_failed", exc_info=failure)
        sys.exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class Intake:
    """The parts of one instance, connected. Make it with ``start``."""

    family: Family
    engine: IntakeEngine
    index: IntakeIndex
    publisher: KafkaPublisher
    mover: Mover
    tail: TopicTail
    links_tail: TopicTail

    @classmethod
    async def start(cls, family: Family, settings: IntakeSettings) -> "Intake":
        """Connect to the broker and open the index; nothing is read yet."""
        brokers = settings.kafka_bootstrap_servers
        topic, links_topic = topics.name(family.topic), topics.name(LINKS_TOPIC)
        publisher = await KafkaPublisher.start(brokers, topic, settings.publisher)
        ids = await asyncio.to_thread(topic_ids, brokers, [topic])
        links = Links()
        index = IntakeIndex(settings.index_directory, IndexIdentity(topic, ids[topic]))

        def notice_moves(slots: Sequence[bytes]) -> None:
            mover.notice(slots)

        feeder = IndexFeeder(family, index, notice_moves)
        tail = await TopicTail.open(brokers, topic, feeder, Reading.FROM_ZERO)
        links_reader = ReplayReader(links.apply)
        links_tail = await TopicTail.open(brokers, links_topic, links_reader, Reading.COMMITTED)
        engine = IntakeEngine(
            family,
            topic,
            pipeline=Pipeline(family, load_key_schemes(), load_code_tables(), Filing(links, index)),
            index=index,
            reader=tail,
            publisher=publisher,
            now_ns=_now_ns,
            settings=settings.engine,
        )
        mover = Mover(family, index, publisher, now_ns=_now_ns, is_under_way=engine.is_under_way)
        return cls(family, engine, index, publisher, mover, tail, links_tail)

    async def run(self, server: GrpcServer) -> None:
        """Read the log, serve when caught up, and go on; raises when any part fails."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self.publisher.watch())
            parts.create_task(self.engine.watch())
            parts.create_task(self.links_tail.run())
            parts.create_task(self.tail.run())
            await self.links_tail.caught_up.wait()
            await self.tail.caught_up.wait()
            self.engine.is_ready = True
            await server.set_serving(serving=True)
            log.info("intake_ready", family=self.family.name)
            parts.create_task(self.mover.run())

    async def close(self, timeout_s: float) -> None:
        """Disconnect and close the index."""
        await self.publisher.close(timeout_s)
        await self.tail.close()
        await self.links_tail.close()
        self.index.close()


def _now_ns() -> int:
    return now_ms() * NANOS_PER_MS
