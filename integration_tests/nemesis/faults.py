"""The faults, by name: what each does to a stage. All by process number, none by name.

A fault returns when it is over: what it stopped is running again, or is being started again by the
keeper. What it killed need not be ready; that is what the round waits for at its end.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import redis
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from integration_tests.nemesis.schedule import Act
from integration_tests.nemesis.stage import Stage
from services.local.waiting import poll_until

GROUP_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
"""What the operator's page promises for SIGTERM."""


class FaultError(AssertionError):
    """A fault could not be done as planned, or what it asked for was not kept."""


def _kill(stage: Stage, act: Act) -> None:
    with stage.lock:
        stage.system.process(act.target).kill()


def _kill_for(stage: Stage, act: Act) -> None:
    """Kill and keep down; then start again, with what it kept on disk."""
    stage.take_down(act.target, grace=False)
    time.sleep(act.duration_s)
    stage.bring_up(act.target)


def _stop(stage: Stage, act: Act) -> None:
    """SIGTERM: it must end with 0, in the time that is promised, and is then started again."""
    code = stage.take_down(act.target, grace=True)
    time.sleep(act.duration_s)
    stage.bring_up(act.target)
    if code != 0:
        message = f"{act.target} ended with {code} on SIGTERM, not with 0 in {STOP_SECONDS_MAX} s"
        raise FaultError(message)


def _pause(stage: Stage, act: Act) -> None:
    with stage.lock:
        process = stage.system.process(act.target)
        process.signal(signal.SIGSTOP)
    time.sleep(act.duration_s)
    process.signal(signal.SIGCONT)


def _join(stage: Stage, act: Act) -> None:
    """A further worker joins, works for a while, and leaves by SIGTERM."""
    stage.bring_up(act.target)
    poll_until(
        lambda: stage.system.worker_status(act.target).get("ready"),
        timeout_seconds=120,
        what=f"{act.target} has joined",
    )
    time.sleep(act.duration_s)
    code = stage.take_down(act.target, grace=True)
    if code != 0:
        message = f"{act.target} left with {code}"
        raise FaultError(message)


def _kill_broker(stage: Stage, act: Act) -> None:
    assert stage.kafka is not None
    stage.kafka.kill()
    time.sleep(act.duration_s)
    stage.kafka.start()


def _stop_broker(stage: Stage, act: Act) -> None:
    assert stage.kafka is not None
    stage.kafka.stop()
    time.sleep(act.duration_s)
    stage.kafka.start()


def _pause_broker(stage: Stage, act: Act) -> None:
    assert stage.kafka is not None
    _pause_group(stage.kafka.pid, act.duration_s)


def _pause_redis(stage: Stage, act: Act) -> None:
    _pause_group(stage.redis.pid, act.duration_s)


def _pause_group(pid: int, seconds: float) -> None:
    os.killpg(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.killpg(pid, signal.SIGCONT)


def _lose_redis(stage: Stage, act: Act) -> None:
    """Kill Redis; it comes back empty, as a machine without a disk does."""
    stage.redis.kill()
    for snapshot in stage.redis.data_directory.glob("dump.rdb*"):
        snapshot.unlink()
    time.sleep(act.duration_s)
    stage.redis.start()


def _kill_redis(stage: Stage, act: Act) -> None:
    """Kill Redis; it comes back with its snapshot, of whatever age."""
    with redis.Redis.from_url(stage.redis.url) as client:
        client.save()
    time.sleep(act.duration_s / 2)
    stage.redis.kill()
    time.sleep(act.duration_s / 2)
    stage.redis.start()


def _flush_redis(stage: Stage, _act: Act) -> None:
    with redis.Redis.from_url(stage.redis.url) as client:
        client.flushall()


def _cold_start(stage: Stage, act: Act) -> None:
    """Everything is killed at once, then started in a random order, the broker when it comes."""
    stage.all_down()
    time.sleep(act.duration_s)
    stage.all_up(random.Random(f"cold start/{act.at_s}"))


def _delete_group(stage: Stage, _act: Act) -> None:
    """Every worker leaves, the consumer group is deleted, the workers come back."""
    for name in stage.workers:
        stage.take_down(name, grace=True)
    group = f"{stage.prefix.strip('.').lower()}-lifecycle"
    with KafkaAdminClient(bootstrap_servers=stage.bootstrap) as admin:

        def deleted() -> bool:
            try:
                admin.delete_groups([group])
            except KafkaError:
                return False  # members are still being waited for
            return group not in str(admin.list_groups())

        poll_until(deleted, timeout_seconds=GROUP_SECONDS_MAX, what=f"{group} is deleted")
    for name in stage.workers:
        stage.bring_up(name)


def _delete_stores(stage: Stage, _act: Act) -> None:
    """Every worker is killed and loses its local state."""
    for name in stage.workers:
        stage.take_down(name, grace=False)
        stage.delete_store(name)
    for name in stage.workers:
        stage.bring_up(name)


def _delete_index(stage: Stage, act: Act) -> None:
    """An intake is killed and loses its index."""
    stage.take_down(act.target, grace=False)
    stage.delete_store(act.target)
    stage.bring_up(act.target)


FAULTS: dict[str, Callable[[Stage, Act], None]] = {
    "kill": _kill,
    "kill-for": _kill_for,
    "stop": _stop,
    "pause": _pause,
    "join-and-leave": _join,
    "kill-broker": _kill_broker,
    "stop-broker": _stop_broker,
    "pause-broker": _pause_broker,
    "pause-redis": _pause_redis,
    "kill-redis": _kill_redis,
    "lose-redis": _lose_redis,
    "flush-redis": _flush_redis,
    "cold-start": _cold_start,
    "delete-group": _delete_group,
    "delete-stores": _delete_stores,
    "delete-index": _delete_index,
}


def strike(stage: Stage, act: Act) -> None:
    """Do one act."""
    FAULTS[act.fault](stage, act)
