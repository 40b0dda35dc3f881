"""The engine put together: one Faust app with the engine's delivery, gate, recovery and watchdog.

Faust gives the process, group membership, co-partitioned assignment, agents, channels, timers and
signals. Delivery, the unit of work, fencing, the changelog and recovery are the engine's own.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

import faust

from services.runtime.clock import now_ms
from services.runtime.header_names import read_any_header_name
from services.runtime.heap import settle_heap
from services.runtime.logging import get_logger
from services.streaming import guards
from services.streaming.channels import DeliveryChannel
from services.streaming.chunks import Delivery
from services.streaming.consumer import EngineTransport
from services.streaming.delivery import Pump
from services.streaming.exits import EngineError, ExitCode, die, die_of, name_crash
from services.streaming.health import EngineHealth
from services.streaming.interface import StepFactory
from services.streaming.merge import HoleError
from services.streaming.partition_factory import PartitionFactory
from services.streaming.predecessor import Follower
from services.streaming.rebalance import Rebalance
from services.streaming.rebuilding import Identify, whole_record
from services.streaming.roster import Roster
from services.streaming.settings import EngineSettings
from services.streaming.state_changes import StateChanges
from services.streaming.succession import Predecessor
from services.streaming.topic_check import check_topics
from services.streaming.topics import Topics
from services.streaming.watchdog import Watchdog

log = get_logger(__name__)

_POLL_INTERVAL_S = 365 * 86_400.0
"""How long nothing may be polled before aiokafka leaves the group: longer than any recovery.

A worker that recovers all it owns (hours, in a province) or stands by polls nothing, and aiokafka
would take it for wedged and leave the group, for good where it stands by. Whether it is wedged is
the watchdog's to tell, and nobody else's.
"""


class Engine:
    """A stream worker: reads the source topics, runs a step per partition, commits its output.

    ``app`` is the Faust app; a shell may add its own services, timers and tasks to it (a health
    server, a display), never agents on topics. ``health`` is updated all the time.
    """

    def __init__(  # noqa: PLR0913  the composition root names everything it composes
        self,
        app_id: str,
        *,
        source_topics: Sequence[str],
        control_topic: str,
        changelog_topic: str,
        timeline_topic: str,
        side_topics: Sequence[str] = (),
        guarded_topics: Sequence[str] = (),
        identify: Identify = whole_record,
        predecessor: Predecessor | None = None,
        step_factory: StepFactory,
        data_dir: Path,
        bootstrap: str,
        partition_count: int = 12,
        settings: EngineSettings | None = None,
    ) -> None:
        """Compose the worker; nothing is opened or connected before ``run_worker``.

        ``app_id`` is the consumer group and the prefix of the transactional ids: the same for all
        workers of one application. ``source_topics`` are in rank order (the earlier first where
        append times are equal) and contain ``control_topic``. ``side_topics`` are the others the
        step writes to; in the ``guarded_topics`` among them nothing may stand twice: a partition
        without state does not begin while they hold records of it, unless ``settings.rebuild``, and
        then ``identify`` tells which of the records it writes stand there. ``predecessor`` is the
        version of the state that this one is built beside, or takes over from. ``data_dir`` belongs
        to this worker alone. ``bootstrap`` is ``host:port[,host:port...]``.
        """
        self.settings = settings or EngineSettings()
        self.topics = Topics(
            tuple(source_topics),
            control_topic,
            changelog_topic,
            timeline_topic,
            tuple(side_topics),
            tuple(guarded_topics),
        )
        before = () if predecessor is None else (predecessor.changelog,)
        self.needed_topics = (*self.topics.all, *before)
        self.bootstrap = bootstrap
        self.data_dir = data_dir
        self.partition_count = partition_count
        self.health = EngineHealth(answer_age_max_s=self.settings.answer_age_s)
        self._changes = StateChanges(self.settings.behind_s)
        self.app = _faust_app(app_id, bootstrap, data_dir, self.settings)
        self._roster = Roster()
        channels = {n: DeliveryChannel(self.app) for n in range(partition_count)}
        self._channels = channels
        transport = EngineTransport(self.app.conf.broker_consumer, self.app)
        transport.pump = Pump(self._roster, channels, self.settings)
        transport.settings = self.settings
        self.app._transport = transport  # noqa: SLF001  the only way to give Faust a transport
        parts = PartitionFactory(
            app_id,
            self.topics,
            step_factory,
            data_dir,
            bootstrap,
            self.settings,
            identify,
            predecessor,
        )
        self._rebalance = Rebalance(self.app, parts, partition_count, self._roster, self.health)
        self._rebalance.connect()
        for number, channel in channels.items():
            self.app.agent(channel, name=f"partition-{number}")(self._agent(number))
        self._subscribe()
        if predecessor is not None and predecessor.shadow:
            self._follower = Follower(predecessor, bootstrap)
            self.app.timer(1.0)(self._follow)
            stop: Any = self._stop_following
            self.app.on_before_shutdown.connect(stop)
        self.app.timer(1.0)(self._every_second)
        self.app.timer(self.settings.group_commit_s)(self._rebalance.commit_display)
        self.app.timer(self.settings.leftovers_s)(self._rebalance.decide_leftovers)
        self.app.timer(self.settings.watchdog_s / 8)(self._rebalance.question_silence)

    def prepare_directory(self) -> None:
        """Create the worker's directory, readable by its user alone."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _agent(self, number: int) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def partition_agent(deliveries: AsyncIterable[Delivery]) -> None:
            queue = deliveries.channel.queue  # type: ignore[attr-defined]
            async for first in deliveries:
                waiting = [first]

                def arrived(waiting: list[Delivery] = waiting) -> list[Delivery]:
                    taken = waiting.copy()
                    waiting.clear()
                    while not queue.empty():
                        taken.append(queue.get_nowait())
                    return taken

                await self._work(number, arrived)

        return partition_agent

    async def _work(self, number: int, arrived: Callable[[], Sequence[Delivery]]) -> None:
        """Let the partition work. No exception gets out: Faust would acknowledge and go on."""
        partition = self._roster.partitions.get(number)
        if partition is None:
            return
        try:
            await partition.work(arrived)
        except asyncio.CancelledError:
            if partition.health.in_flight:
                die(ExitCode.UNIT_TIMEOUT, f"a unit of partition {number} was cancelled in flight")
            raise
        except HoleError as error:
            die(ExitCode.DELIVERY_HOLE, f"partition {number}: {error}")
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            die_of(error, ExitCode.STEP_FAILED, f"unit of partition {number}")

    def _subscribe(self) -> None:
        """Make Faust subscribe to the sources; no record may ever come this way."""
        topic = self.app.topic(
            *self.topics.sources, key_serializer="raw", value_serializer="raw", internal=False
        )

        async def subscription(stream: AsyncIterable[Any]) -> None:
            async for _ in stream:
                die(ExitCode.STOCK_PATH, "a record came through Faust's own delivery")

        self.app.agent(topic, name="subscription")(subscription)

    async def _every_second(self) -> None:
        """Show that the loop turns, say what has changed, wake partitions whose tick is due."""
        now = self.health.loop_alive = time.monotonic()
        self._rebalance.note_answers()
        for change in self._changes.look(self.health, now, now_ms()):
            log.log(change.level, change.event, **change.fields)
        for number, partition in self._roster.open_partitions().items():
            if partition.tick_due:
                await self._channels[number].hand_over(Delivery(self._roster.epoch))

    async def _follow(self) -> None:
        """Let the shadow's partitions go as far as the running version has come."""
        partitions = self._roster.open_partitions()
        try:
            passed = await self._follower.look(sorted(partitions))
        except Exception as error:  # noqa: BLE001  nothing may get past the end of the process
            if self.app.should_stop:
                return  # a clean stop closes the follower's consumer while it reads
            die_of(error, ExitCode.RECOVERY_FAILED, "following the running version")
        for number, partition in partitions.items():
            partition.bound.passed = passed[number]
            await self._channels[number].hand_over(Delivery(self._roster.epoch))

    async def _stop_following(self, _app: Any, **_: Any) -> None:
        await self._follower.stop()


def run_worker(engine: Engine) -> NoReturn:
    """Run the engine in this process until SIGTERM or SIGINT; raises SystemExit(0) then.

    Blocks the main thread. First the guards are checked, then the topics waited for. Every failure
    ends the process with an ``ExitCode``.
    """
    try:
        guards.check()
        asyncio.new_event_loop().run_until_complete(
            check_topics(
                engine.bootstrap,
                engine.needed_topics,
                engine.partition_count,
                engine.settings.start_timeout_s,
            )
        )
    except EngineError as error:
        die_of(error, error.code, "start")
    read_any_header_name()
    settle_heap()
    engine.prepare_directory()
    log.info("worker_started", data_dir=str(engine.data_dir), topics=len(engine.topics.all))
    engine.health.loop_alive = time.monotonic()
    engine.health.started = True
    Watchdog(engine.health, engine.settings.watchdog_s).start()
    worker = engine.app.Worker(
        quiet=True, loglevel="WARN", redirect_stdouts=False, override_logging=False
    )
    # That a timer was late says less than the metrics do.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)
    # It writes control characters of a terminal between the log lines, wherever they go.
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        name_crash(end)
        raise
    raise SystemExit(0)


def _faust_app(app_id: str, bootstrap: str, data_dir: Path, settings: EngineSettings) -> faust.App:
    app = faust.App(
        app_id,
        broker=[f"kafka://{address}" for address in bootstrap.split(",")],
        # What the group's description calls this worker.
        broker_client_id=f"{socket.gethostname()}-{data_dir.name}",
        datadir=str(data_dir / "faust"),
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Without tables nothing is replicated; above 0 it keeps Faust's co-partitioned assignor,
        # which is told below to balance.
        table_standby_replicas=1,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 4,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_request_timeout=max(90.0, settings.rebalance_timeout_s + 30.0),
        broker_max_poll_interval=_POLL_INTERVAL_S,
        broker_max_poll_records=settings.poll_records,
        consumer_max_fetch_size=settings.partition_fetch_bytes,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        cython_optimizations=True,
    )
    # With a replica wanted, which no table of ours has, every owner keeps up to a full share, and
    # a fifth worker beside four that own three each gets nothing at all.
    assignor: Any = app.assignor
    assignor.replicas = 0
    return app
