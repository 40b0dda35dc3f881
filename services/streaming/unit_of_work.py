"""One unit's output in one Kafka transaction of the partition's own producer.

Every record goes to the unit's partition number, by explicit number: a key may hash elsewhere, and
one hung transaction would hold back other partitions' readers.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from aiokafka.producer import sender

from services.streaming.exits import EngineError, ExitCode
from services.streaming.interface import Headers, SideRecord, SourceHeaders, UnitOutput
from services.streaming.meta import META_KEY, RESERVED_PREFIX
from services.streaming.settings import EngineSettings

MARK_HEADER = "stream-unit"
"""On the first record of a unit in each topic but the changelog: ``<transactional id>/<unit>``, so
that of records whose transaction is undecided one can tell whose they are (see `undecided`)."""

_FENCING_ERRORS = (ProducerFenced, InvalidProducerEpoch)

sender.BACKOFF_OVERRIDE = 0.002
"""Seconds until a transaction is begun again that came before the end of the one before it was
written everywhere. The coordinator needs a millisecond or two for that; aiokafka waits 20."""


class PartitionProducer:
    """The transactional producer of one partition (分区事务生产者).

    Its transactional id is ``<app>-<partition>``, never one of the worker: whoever starts it fences
    every earlier holder of the partition and aborts that holder's open transaction.
    """

    def __init__(
        self,
        app_id: str,
        partition: int,
        bootstrap: str,
        settings: EngineSettings,
        batch_limits: Mapping[str, int] | None = None,
    ) -> None:
        """Connect to nothing yet. ``batch_limits``: topic → bytes, for topics with smaller ones."""
        self.partition = partition
        self._name = f"{app_id}-{partition}"
        self._settings = settings
        self._batch_limits = dict(batch_limits or {})
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            transactional_id=self._name,
            acks="all",
            linger_ms=0,
            max_batch_size=settings.batch_bytes,
            max_request_size=settings.batch_bytes + (1 << 16),
            transaction_timeout_ms=settings.transaction_timeout_ms,
            request_timeout_ms=settings.request_timeout_ms,
        )

    async def fence(self) -> None:
        """Start the producer. When it returns, no earlier holder can commit anything any more."""
        await self._producer.start()

    async def stop(self) -> None:
        """Close the connections. There must be no open transaction."""
        await self._producer.stop()

    async def commit(
        self, topics: Sequence[tuple[str, Sequence[tuple[bytes | None, bytes, Headers]]]]
    ) -> dict[str, int]:
        """Write the records of every topic and commit; return each topic's last record's offset.

        The commit is asked for only after every batch was acknowledged: no produce of one
        transaction can leak into the next. When this returns, readers of committed data see all of
        it. When it raises, the outcome is open until the partition is fenced, and the process has
        to end.

        Raises:
            EngineError: FENCED when another worker owns the partition, else COMMIT_FAILED.
        """
        sent: list[tuple[str, int, asyncio.Future[Any]]] = []
        try:
            await self._producer.begin_transaction()
            for topic, records in topics:
                for start, batch in self._batches(records, self._batch_bytes(topic)):
                    ack = await self._producer.send_batch(batch, topic, partition=self.partition)
                    sent.append((topic, start, ack))
            acks = await asyncio.gather(*(ack for _, _, ack in sent))
            await self._producer.commit_transaction()
        except Exception as error:
            # A batch that was fenced makes the next call fail with an error about the state.
            causes = [error, *(_failure(ack) for _, _, ack in sent)]
            if any(isinstance(cause, _FENCING_ERRORS) for cause in causes):
                raise EngineError(
                    ExitCode.FENCED,
                    f"partition {self.partition} belongs to another worker: {error!r}",
                ) from error
            raise EngineError(
                ExitCode.COMMIT_FAILED, f"partition {self.partition}: {error!r}"
            ) from error
        counts = {topic: len(records) for topic, records in topics}
        return {
            topic: ack.offset + counts[topic] - start - 1
            for (topic, start, _), ack in zip(sent, acks, strict=True)
        }

    def mark(self, unit: int) -> Headers:
        """Return what the first record of ``unit`` in a topic bears."""
        return ((MARK_HEADER, f"{self._name}/{unit}".encode()),)

    def unit_of(self, headers: SourceHeaders) -> int | None:
        """Return which unit of this transactional id a record with these headers began, if any."""
        for name, value in reversed(headers):
            whose, _, unit = (value or b"").decode(errors="replace").rpartition("/")
            if name == MARK_HEADER and whose == self._name and unit.isdecimal():
                return int(unit)
        return None

    async def decide(self, topics: Iterable[str], *, commit: bool) -> None:
        """Write a marker to these topics, which ends whatever this transactional id left open.

        That of earlier holders too (see `undecided`). The partition must be fenced, and no unit
        under way. Who is cancelled waits for the end of it: left open, it would be aborted by the
        next holder, and take with it what was to be committed.

        Raises:
            EngineError: FENCED when another worker owns the partition, else COMMIT_FAILED.
        """
        deciding = asyncio.ensure_future(self._decide(list(topics), commit=commit))
        try:
            await asyncio.shield(deciding)
        except asyncio.CancelledError:
            await asyncio.wait([deciding])
            raise

    async def _decide(self, topics: Sequence[str], *, commit: bool) -> None:
        try:
            await self._producer.begin_transaction()
            for topic in topics:
                # aiokafka adds a partition only with its first record.
                self._producer._txn_manager.maybe_add_partition_to_txn(  # noqa: SLF001
                    TopicPartition(topic, self.partition)
                )
            if commit:
                await self._producer.commit_transaction()
            else:
                await self._producer.abort_transaction()
        except Exception as error:
            fenced = isinstance(error, _FENCING_ERRORS)
            raise EngineError(
                ExitCode.FENCED if fenced else ExitCode.COMMIT_FAILED,
                f"partition {self.partition}, deciding: {error!r}",
            ) from error

    def _batch_bytes(self, topic: str) -> int:
        """Return how large a topic's batches may grow: whoever reads one record fetches a batch."""
        return self._batch_limits.get(topic, self._settings.batch_bytes)

    def _batches(
        self, records: Sequence[tuple[bytes | None, bytes, Headers]], batch_bytes: int
    ) -> Iterable[tuple[int, object]]:
        """Yield (number of the first record, batch) over all records, in order."""
        batch, start = self._producer.create_batch(), 0
        for number, (key, value, headers) in enumerate(records):
            full = batch.record_count() > 0 and batch.size() + len(value) > batch_bytes
            appended = None
            if not full:
                appended = batch.append(timestamp=None, key=key, value=value, headers=list(headers))
            if appended is None:
                yield start, batch
                batch, start = self._producer.create_batch(), number
                batch.append(timestamp=None, key=key, value=value, headers=list(headers))
        if batch.record_count():
            yield start, batch


def _failure(ack: asyncio.Future[Any]) -> BaseException | None:
    """Return why a batch failed, if that is known by now."""
    return ack.exception() if ack.done() and not ack.cancelled() else None


def check_output(output: UnitOutput, given: int, record_bytes: int) -> int:
    """Check what a step returned for ``given`` records; return the size of its records in bytes.

    Raises:
        EngineError: STEP_FAILED, naming the first thing that may not be written.
    """
    taken = given if output.taken is None else output.taken
    if not 0 <= taken <= given:
        raise _refused(f"taken={taken} of {given} records")
    if given and taken == 0 and not output.changelog:
        raise _refused("no record taken and no state changed: the unit could never end")
    total = 0
    for key, value in output.changelog.items():
        if not key or key.startswith(RESERVED_PREFIX):
            raise _refused(f"changelog key {key[:40]!r} is empty or reserved")
        total += _checked_size("changelog", key, value, (), record_bytes)
    for topic, side_key, value, headers in output.side:
        if side_key == META_KEY:
            raise _refused(f"{topic}: the META key is the engine's own")
        total += _checked_size(topic, side_key, value, headers, record_bytes)
    return total


Side = dict[str, list[tuple[bytes | None, bytes, Headers]]]
"""Records of a unit by topic, without the changelog's."""


def by_topic(side: Iterable[SideRecord]) -> Side:
    """Group side records by topic, keeping their order."""
    grouped: Side = {}
    for topic, key, value, headers in side:
        grouped.setdefault(topic, []).append((key, value, headers))
    return grouped


def marked(side: Side, mark: Headers) -> Side:
    """Return the records with ``mark`` on the first one of each topic."""
    return {
        topic: [(key, value, (*headers, *mark)), *others]
        for topic, ((key, value, headers), *others) in side.items()
    }


def _checked_size(
    topic: str, key: bytes | None, value: bytes, headers: Headers, record_bytes: int
) -> int:
    size = len(key or b"") + len(value) + sum(len(n) + len(v) for n, v in headers)
    if size > record_bytes:
        raise _refused(
            f"{topic}: record {(key or b'')[:80]!r} of {size} bytes, over {record_bytes}"
        )
    return size


def _refused(reason: str) -> EngineError:
    return EngineError(ExitCode.STEP_FAILED, f"output refused: {reason}")
