"""The life of the profiles process."""

import asyncio
from collections.abc import Coroutine

from kafka.errors import KafkaError
from market_supervision.alerts.v1 import alert_service_pb2, alert_service_pb2_grpc
from market_supervision.profiles.v1 import (
    entity_profile_service_pb2,
    entity_profile_service_pb2_grpc,
)

from services.contracts.code_tables import load_code_tables
from services.contracts.key_schemes import load_key_schemes
from services.profiles.alert_servicer import AlertServicer
from services.profiles.cursor import CursorSigner
from services.profiles.cursor_key import cursor_key
from services.profiles.metrics import ProfilesMetrics
from services.profiles.profile_servicer import EntityProfileServicer
from services.profiles.settings import ProfilesSettings
from services.profiles.timeline_log import TimelineLog
from services.profiles.watches import Watches
from services.readmodel.connection import connect
from services.readmodel.errors import NotReadyError
from services.readmodel.reader import ReadModelReader
from services.runtime.clock import utc_now
from services.runtime.grpc_server import GrpcServer
from services.runtime.logging import get_logger
from services.runtime.monitor import start_monitor

READY_POLL_SECONDS = 0.5
TOPIC_CHECK_SECONDS = 10.0

log = get_logger(__name__)


async def run(settings: ProfilesSettings, stop: asyncio.Event) -> None:
    """Serve until ``stop``. Health says SERVING while the read model is complete.

    Raises ConfigurationError, TopicMissingError, and TopicCreatedAnewError or an error of Kafka
    that does not pass: the process has to be started again then.
    """
    signer = CursorSigner(cursor_key(settings.cursor_key, settings.data_dir))
    server = GrpcServer(settings.server, service="profiles")
    client = connect(settings.redis_url)
    timeline_log = TimelineLog(settings.kafka_bootstrap_servers)
    reader = ReadModelReader(client, settings.namespace)
    watches = await Watches.open(settings.kafka_bootstrap_servers, signer, settings.watch)
    try:
        await timeline_log.start()
        server.add_service(
            entity_profile_service_pb2.DESCRIPTOR.services_by_name["EntityProfileService"],
            entity_profile_service_pb2_grpc.add_EntityProfileServiceServicer_to_server,
            EntityProfileServicer(
                reader,
                timeline_log,
                schemes=load_key_schemes(),
                code_tables=load_code_tables(),
                clock=utc_now,
            ),
        )
        server.add_service(
            alert_service_pb2.DESCRIPTOR.services_by_name["AlertService"],
            alert_service_pb2_grpc.add_AlertServiceServicer_to_server,
            AlertServicer(reader, watches),
        )
        metrics = ProfilesMetrics(watches)
        start_monitor(settings.metrics, "profiles", metrics.condition, metrics, server.figures)
        await server.start()
        try:
            await _until_stop_or_failure(
                stop, watches.run(), _report_health(server, reader, metrics), _check_topic(watches)
            )
        finally:
            watches.close()
            await server.stop()
    finally:
        await watches.stop()
        await timeline_log.stop()
        await client.aclose()


async def _until_stop_or_failure(stop: asyncio.Event, *works: Coroutine[None, None, None]) -> None:
    """Run endless works until ``stop``; the first that fails ends all and is raised."""
    stopping = asyncio.ensure_future(stop.wait())
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *tasks):
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _report_health(
    server: GrpcServer, reader: ReadModelReader, metrics: ProfilesMetrics
) -> None:
    serving = False
    while True:
        try:
            await reader.check_ready()
        except NotReadyError:
            ready = False
        else:
            ready = True
        if ready != serving:
            log.info("readiness_changed", ready=ready)
            await server.set_serving(serving=ready)
            serving = metrics.ready = ready
        await asyncio.sleep(READY_POLL_SECONDS)


async def _check_topic(watches: Watches) -> None:
    while True:
        await asyncio.sleep(TOPIC_CHECK_SECONDS)
        try:
            await watches.check_topic()
        except KafkaError as error:
            log.warning("topic_check_failed", error=str(error))
