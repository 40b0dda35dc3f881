"""Publishes event records (发布): kafka-python's idempotent producer behind an asyncio face.

The producer has a thread of its own and an unbounded buffer (the engine bounds what is under way).
Its completions cross into the event loop in batches: whatever the thread settles before the loop
wakes up is taken over in one go.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.future import RecordMetadata

Headers = tuple[tuple[str, bytes], ...]

SENDS_PER_TURN: Final = 64
"""Records handed to the producer before other tasks of the event loop get a turn (about 3 ms)."""
FOR_EVER_MS: Final = 2**31 - 1
"""How long the producer tries to deliver a record. A batch that expires after it was sent makes
kafka-python 3.0.12 drop its producer id and never ask for another one: nothing is sent any more
(`TransactionManager.reset_producer_id` leaves the state READY, and `init_producer_id` acts only on
UNINITIALIZED). So no batch expires; callers are told the outcome is unknown long before."""
RECORD_OVERHEAD_BYTES: Final = 512
"""Added to key, value and headers for the bookkeeping of a record under way."""


class PublisherBrokenError(Exception):
    """The producer gave a record up, which it never should (发布器失效): it cannot be relied on."""


class OutgoingRecord(NamedTuple):
    """A record to be appended to the event topic; the key decides the partition."""

    key: bytes
    value: bytes
    headers: Headers

    def size_bytes(self) -> int:
        """Return about how much memory the record takes while it is under way."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key) + len(self.value) + headers + RECORD_OVERHEAD_BYTES


class Acknowledged(NamedTuple):
    """All in-sync replicas hold the record at this place."""

    partition: int
    offset: int


class NotSent(NamedTuple):
    """The record was not handed to the broker, for certain; trying later makes sense."""

    detail: str


class OutcomeUnknown(NamedTuple):
    """The broker did not confirm the record: it may be on the log, or arrive there yet."""

    detail: str


PublishResult = Acknowledged | NotSent | OutcomeUnknown


class Publisher(Protocol):
    """Appends records to one topic."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishResult]:
        """Append the records and return one result each, in order, when all are settled.

        Cancelling the call does not take back what was handed over.
        """
        ...


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """Times and limits of a publisher."""

    request_timeout_ms: int = 10_000
    """Timeout of one request to a broker; it is repeated until it succeeds."""
    record_bytes_max: int = 1 << 20
    """Largest record the producer takes."""
    metadata_timeout_ms: int = 1_000
    """Longest a send may block when the topic is not known (any more)."""
    start_timeout_s: float = 60.0
    """How long to wait at the start for a broker that answers and knows the topic."""


class _Flight:
    """The results of one ``publish`` call as they come in."""

    __slots__ = ("done", "left", "results")

    def __init__(self, count: int, done: "asyncio.Future[None]") -> None:
        self.results: list[PublishResult | None] = [None] * count
        self.left = count
        self.done = done


class KafkaPublisher:
    """The real publisher. Make it with ``start``; one event loop; ``close`` when done."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._loop = asyncio.get_running_loop()
        self._settled: deque[tuple[_Flight, int, RecordMetadata | BaseException]] = deque()
        self._wake_up_is_due = False
        self._broken: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def start(
        cls, bootstrap_servers: str, topic: str, settings: PublisherSettings
    ) -> "KafkaPublisher":
        """Connect, and wait until the topic's partitions are known.

        Without that the first send would block the event loop.

        Raises:
            kafka.errors.KafkaError: no broker answered, or none knows the topic, in time.
        """
        make = functools.partial(_connect, bootstrap_servers, topic, settings)
        producer = await asyncio.get_running_loop().run_in_executor(None, make)
        return cls(producer, topic)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishResult]:
        """See Publisher.publish."""
        flight = _Flight(len(records), self._loop.create_future())
        for index, record in enumerate(records):
            if index and index % SENDS_PER_TURN == 0:
                await asyncio.sleep(0)
            self._send(flight, index, record)
        if flight.left:
            await flight.done
        return [result for result in flight.results if result is not None]

    def _send(self, flight: _Flight, index: int, record: OutgoingRecord) -> None:
        try:
            sent = self._producer.send(
                self._topic, value=record.value, key=record.key, headers=list(record.headers)
            )
        except (KafkaTimeoutError, MessageSizeTooLargeError) as error:
            # Raised before the record enters the producer's buffer.
            _settle(flight, index, NotSent(str(error)))
            return
        except KafkaError as error:
            _settle(flight, index, OutcomeUnknown(str(error)))
            return
        on_settled = functools.partial(self._on_settled, flight, index)
        sent.add_callback(on_settled)
        sent.add_errback(on_settled)

    def _on_settled(
        self, flight: _Flight, index: int, outcome: RecordMetadata | BaseException
    ) -> None:
        """Runs on the producer's thread."""
        self._settled.append((flight, index, outcome))
        if not self._wake_up_is_due:
            self._wake_up_is_due = True
            self._loop.call_soon_threadsafe(self._take_over)

    def _take_over(self) -> None:
        # Cleared first: whatever is appended from now on wakes the loop again.
        self._wake_up_is_due = False
        while self._settled:
            flight, index, outcome = self._settled.popleft()
            if isinstance(outcome, BaseException):
                detail = f"{type(outcome).__name__}: {outcome}"
                _settle(flight, index, OutcomeUnknown(detail))
                if not self._broken.done():
                    self._broken.set_result(detail)
            else:
                _settle(flight, index, Acknowledged(outcome.partition, outcome.offset))

    async def watch(self) -> NoReturn:
        """Wait until the producer fails.

        Raises:
            PublisherBrokenError: it gave up a record; start the process anew.
        """
        raise PublisherBrokenError(await self._broken)

    async def close(self, timeout_s: float) -> None:
        """Send what is buffered and stop; what is unsettled after ``timeout_s`` stays unknown."""
        stop = functools.partial(_disconnect, self._producer, timeout_s)
        await self._loop.run_in_executor(None, stop)


def _settle(flight: _Flight, index: int, result: PublishResult) -> None:
    flight.results[index] = result
    flight.left -= 1
    if not flight.left and not flight.done.done():
        flight.done.set_result(None)


def _connect(bootstrap_servers: str, topic: str, settings: PublisherSettings) -> KafkaProducer:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers.split(","),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        batch_size=128 << 10,
        # Two milliseconds more for a lone event; far fewer batches to send and read back in bulk.
        linger_ms=2,
        delivery_timeout_ms=FOR_EVER_MS,
        request_timeout_ms=settings.request_timeout_ms,
        max_request_size=settings.record_bytes_max,
        max_block_ms=settings.metadata_timeout_ms,
        bootstrap_timeout_ms=int(settings.start_timeout_s * 1000),
        # A broker that comes back should be found within a second, not within thirty.
        reconnect_backoff_max_ms=1_000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    attempts = max(1, int(settings.start_timeout_s * 1000 / settings.metadata_timeout_ms))
    for attempt in range(1, attempts + 1):
        try:
            producer.partitions_for(topic)
        except KafkaTimeoutError:
            if attempt == attempts:
                producer.close(timeout=1)
                raise
        else:
            break
    return producer


def _disconnect(producer: KafkaProducer, timeout_s: float) -> None:
    try:
        producer.close(timeout=timeout_s)
    except KafkaTimeoutError:
        producer.close(timeout=0)
