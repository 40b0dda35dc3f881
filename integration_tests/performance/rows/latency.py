"""How long from an event to its alert at a subscriber, against producing and consuming a record.

200 events a second, each the failed inspection of a school canteen at an entity of its own, which
raises one alert. Open loop: an event is due at a fixed time whatever became of those before it, and
its latency counts from when it was due. Ours ends when the subscriber of WatchAlerts has the alert
in hand; the baseline when a consumer of committed records has the record. Both are sent and
received by this process. The first two seconds are left out.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import grpc
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from market_supervision.alerts.v1 import alert_service_pb2 as api
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub

from integration_tests.intake.support import inspection
from integration_tests.performance.peer_log import delete_topics, make_topics
from integration_tests.performance.processes import WrongResultError
from integration_tests.performance.row import Figure, Row
from integration_tests.performance.session import Session
from integration_tests.performance.topic_prefix import prefixed
from integration_tests.system.support import ALL_DAYS, publish_rules
from services.contracts import topics
from services.contracts.code_tables import load_code_tables
from services.contracts.families import FAMILY_BY_NAME
from services.contracts.key_schemes import load_key_schemes
from services.intake.pipeline import Pipeline, Prepared
from services.intake.publisher import OutgoingRecord
from services.local.system import LocalSystem
from services.runtime.clock import now_ms
from services.runtime.kafka_topics import ensure_topics

EVENTS_PER_SECOND = 200
SECONDS = 10
WARM_UP_SECONDS = 2
ANSWER_SECONDS_MAX = 60.0
FAMILY = FAMILY_BY_NAME["inspections"]
SERVICES = ("lifecycle-0", "projection", "profiles")

P50, P99 = "p50_ms", "p99_ms"

Arrivals = Mapping[str, float]
"""When each event arrived at the far end, by its name, on the monotonic clock."""


def _events() -> list[tuple[str, OutgoingRecord]]:
    """The records an intake would write, by matter id."""
    pipeline = Pipeline(
        FAMILY, load_key_schemes(), load_code_tables(), lambda _event, sent_key: sent_key
    )
    made = []
    for number in range(EVENTS_PER_SECOND * (SECONDS + WARM_UP_SECONDS)):
        event = inspection(number, entity=number)
        prepared = pipeline.prepare(event, now_ns=now_ms() * 1_000_000, client="bench")
        assert isinstance(prepared, Prepared), prepared
        made.append((event.envelope.matter_id, prepared.record))
    return made


async def send_on_time(
    names: Sequence[str], send: Callable[[str], Awaitable[object]]
) -> dict[str, float]:
    """Call ``send`` for each name when it is due; return when each was due (monotonic)."""
    due: dict[str, float] = {}
    sent: list[asyncio.Task[object]] = []
    begin = time.monotonic() + 0.1

    async def one(name: str) -> object:
        return await send(name)

    for number, name in enumerate(names):
        due[name] = begin + number / EVENTS_PER_SECOND
        await asyncio.sleep(max(0.0, due[name] - time.monotonic()))
        sent.append(asyncio.create_task(one(name)))
    await asyncio.gather(*sent)
    return due


def latencies_of(names: Sequence[str], due: Mapping[str, float], arrivals: Arrivals) -> Figure:
    """Return the 99th percentile in milliseconds, without the warm-up.

    Raises WrongResultError when something never arrived.
    """
    missing = [name for name in names if name not in arrivals]
    if missing:
        raise WrongResultError(f"{len(missing)} of {len(names)} never arrived: {missing[:3]}")
    counted = names[EVENTS_PER_SECOND * WARM_UP_SECONDS :]
    values = [(arrivals[name] - due[name]) * 1000 for name in counted]
    cuts = statistics.quantiles(values, n=1_000)
    further = {"p999_ms": cuts[998], "max_ms": max(values)}
    return Figure(cuts[989], {P50: cuts[499], P99: cuts[989], **further})


async def _alerts(bootstrap: str, address: str) -> Figure:
    events = _events()
    records = dict(events)
    topic = topics.name(FAMILY.topic)
    arrivals: dict[str, float] = {}
    complete = asyncio.Event()
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer,
        grpc.aio.insecure_channel(address) as channel,
    ):
        watch = AlertServiceStub(channel).WatchAlerts(
            api.WatchAlertsRequest(start=api.WATCH_START_EARLIEST)
        )

        async def receive() -> None:
            async for answer in watch:
                now = time.monotonic()
                for record in answer.records:
                    arrivals.setdefault(record.alert.matter_id, now)
                if len(arrivals) >= len(records):
                    complete.set()

        receiving = asyncio.create_task(receive())
        await asyncio.sleep(0.5)

        async def send(name: str) -> object:
            key, value, headers = records[name]
            return await producer.send_and_wait(topic, value, key=key, headers=list(headers))

        names = [name for name, _ in events]
        due = await send_on_time(names, send)
        await _patiently(complete, receiving)
        watch.cancel()
    return latencies_of(names, due, arrivals)


async def _patiently(complete: asyncio.Event, receiving: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(complete.wait())
    await asyncio.wait(
        {waiting, receiving}, timeout=ANSWER_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
    )
    waiting.cancel()
    if receiving.done():
        receiving.result()
    receiving.cancel()


async def _records(bootstrap: str, topic: str) -> Figure:
    records = {name: record.value for name, record in _events()}
    names = list(records)
    arrivals: dict[str, float] = {}
    complete = asyncio.Event()
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with (
        consumer,
        AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer,
    ):

        async def receive() -> None:
            async for record in consumer:
                arrivals.setdefault(record.key.decode(), time.monotonic())
                if len(arrivals) >= len(names):
                    complete.set()

        receiving = asyncio.create_task(receive())
        await asyncio.sleep(0.5)
        due = await send_on_time(
            names, lambda name: producer.send_and_wait(topic, records[name], key=name.encode())
        )
        await _patiently(complete, receiving)
    return latencies_of(names, due, arrivals)


@contextmanager
def _system(session: Session) -> Iterator[str]:
    """Run the worker, the projection and the query side on topics of their own."""
    prefix = f"latency-{uuid.uuid4().hex[:8]}."
    system = LocalSystem(
        session.directory / prefix.strip("."), session.bootstrap, session.redis_url, prefix
    )
    made: list[str] = []
    with prefixed(prefix):
        try:
            made = ensure_topics(session.bootstrap)
            publish_rules(session.bootstrap, max_age_days=ALL_DAYS)
            system.start(*SERVICES)
            system.wait_worker()
            yield system.wait_serving(("profiles",))["profiles"]
        finally:
            system.stop()
            delete_topics(session.bootstrap, made)


def _event_to_alert(session: Session) -> Figure:
    with _system(session) as address:
        return asyncio.run(_alerts(session.bootstrap, address))


def _produce_to_consume(session: Session) -> Figure:
    topic = f"pair-{uuid.uuid4().hex[:8]}"
    make_topics(session.bootstrap, [topic])
    try:
        return asyncio.run(_records(session.bootstrap, topic))
    finally:
        delete_topics(session.bootstrap, [topic])


ROWS = (
    Row(
        name="event_to_alert_p99",
        ours="event written to alert in the subscriber's hand (WatchAlerts), 200 events/s, p99",
        baseline="record written to record in a committed reader's hand, same bytes and rate, p99",
        unit="ms",
        measure=_event_to_alert,
        measure_baseline=_produce_to_consume,
        must=6.0,
        goal=3.0,
        minutes=1.5,
        lower_is_better=True,
        note="the processors are nearly used up at this rate; no intake",
        beside=(P50, P99),
    ),
)
