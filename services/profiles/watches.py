"""All watches of this process: where each begins, and what they share."""

import asyncio
from collections.abc import Callable

from market_supervision.alerts.v1.alert_pb2 import Alert

from services.contracts import topics
from services.profiles.alert_log import ALERTS, KafkaAlertLog, KafkaAlertReader
from services.profiles.cursor import Cursor, CursorSigner, Positions
from services.profiles.settings import WatchSettings
from services.profiles.watch_hub import WatchHub
from services.profiles.watch_session import Send, WatchSession
from services.runtime.errors import (
    CursorOutOfRangeError,
    SubscriberTooSlowError,
    TooManyStreamsError,
)
from services.runtime.logging import get_logger
from services.runtime.topic_ids import topic_ids

log = get_logger(__name__)


class TopicCreatedAnewError(Exception):
    """The alerts topic was deleted and created again (主题被重建): start over."""


class Watches:
    """Opens watches on one incarnation of the alerts topic.

    Make it with `open`; ``run`` must be running while watches are open.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic_id: bytes,
        tail: KafkaAlertReader,
        positions: Positions,
        signer: CursorSigner,
        settings: WatchSettings,
    ) -> None:
        self.settings = settings
        self._bootstrap_servers = bootstrap_servers
        self._topic_id = topic_id
        self._tail = tail
        self._hub = WatchHub(tail, positions)
        self._log = KafkaAlertLog(bootstrap_servers)
        self._signer = signer
        self._reader_slots = asyncio.Semaphore(settings.readers_max)
        self._open = 0
        self.opened = 0
        """Watches opened since the start."""
        self.cut = 0
        """Watches ended because the subscriber took nothing for too long."""

    @property
    def open_now(self) -> int:
        """Watches open now."""
        return self._open

    @property
    def following(self) -> int:
        """Those of them that are on the shared tail; the others read the past."""
        return self._hub.subscribers

    @property
    def fell_behind(self) -> int:
        """How often a subscriber fell off the tail since the start."""
        return self._hub.fell_behind

    @classmethod
    async def open(
        cls, bootstrap_servers: str, signer: CursorSigner, settings: WatchSettings
    ) -> "Watches":
        """Connect to the alerts topic, behind its last committed record."""
        topic_id = await _alerts_topic_id(bootstrap_servers)
        tail = await KafkaAlertLog(bootstrap_servers).open(None)
        return cls(bootstrap_servers, topic_id, tail, await tail.positions(), signer, settings)

    async def run(self) -> None:
        """Serve the shared tail until cancelled; an error of the log ends it, and the process."""
        await self._hub.run()

    async def check_topic(self) -> None:
        """Raise TopicCreatedAnewError when the topic is not the one this was opened on."""
        if await _alerts_topic_id(self._bootstrap_servers) != self._topic_id:
            raise TopicCreatedAnewError(f"{topics.name(ALERTS)} was created anew (主题被重建)")

    def close(self) -> None:
        """End all watches; each subscriber is told to resume."""
        self._hub.close()

    async def stop(self) -> None:
        """Disconnect; call it when ``run`` has ended."""
        await self._tail.stop()

    def cursor(self, filter_digest: bytes, positions: Positions) -> str:
        """Return the cursor of positions under a filter."""
        return self._signer.encode(Cursor(self._topic_id, filter_digest, positions))

    async def watch(
        self,
        *,
        matches: Callable[[Alert], bool],
        filter_digest: bytes,
        cursor: str,
        earliest: bool,
        send: Send,
    ) -> None:
        """Deliver from a cursor on; without one from now, or from the first record ever.

        Returns never; raises CursorInvalidError, CursorOutOfRangeError, TooManyStreamsError, and
        what `WatchSession.run` raises.
        """
        if self._open >= self.settings.streams_max:
            raise TooManyStreamsError(
                f"{self._open} watches are open, which is the limit", "订阅流数量已达上限"
            )
        self._open += 1
        self.opened += 1
        try:
            positions = await self._start(filter_digest, cursor, earliest=earliest)
            session = WatchSession(
                self._hub,
                self._log,
                self._reader_slots,
                self.settings,
                matches=matches,
                positions=positions,
                send=send,
            )
            await session.run()
        except SubscriberTooSlowError:
            self.cut += 1
            raise
        finally:
            self._open -= 1

    async def _start(self, filter_digest: bytes, text: str, *, earliest: bool) -> Positions:
        if not text:
            first, ends = await self._tail.bounds()
            return first if earliest else ends
        cursor = self._signer.decode(text)
        if cursor.topic_id != self._topic_id:
            raise _out_of_range("it was issued for another topic", "属于其他主题")
        if cursor.filter_digest != filter_digest:
            raise _out_of_range("it was issued for another filter", "属于其他订阅条件")
        first, ends = await self._tail.bounds()
        for partition, offset in enumerate(cursor.positions):
            if not first[partition] <= offset <= ends[partition]:
                raise _out_of_range(
                    f"partition {partition}: offset {offset} is not in the log, which holds "
                    f"{first[partition]} to {ends[partition]}",
                    f"分区 {partition} 的位点 {offset} 不在日志范围内",
                )
        return cursor.positions


def _out_of_range(reason_en: str, reason_zh: str) -> CursorOutOfRangeError:
    return CursorOutOfRangeError(
        f"the cursor cannot be honoured: {reason_en}; list the open alerts, then watch without a "
        "cursor",
        f"游标无法使用：{reason_zh}；请先列出未关闭预警，再不带游标订阅",
    )


async def _alerts_topic_id(bootstrap_servers: str) -> bytes:
    name = topics.name(ALERTS)
    found = await asyncio.to_thread(topic_ids, bootstrap_servers, [name])
    return bytes.fromhex(found[name])
