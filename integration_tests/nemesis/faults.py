"""The faults, by name: what each does to a stage. All by process number, none by name.

A fault returns when it is over: what it stopped is running again, or is being started again by the
keeper. What it killed need not be ready; that is what the round waits for at its end.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from integration_tests.nemesis.cluster_faults import CLUSTER_FAULTS
from integration_tests.nemesis.injections import INJECTIONS
from integration_tests.nemesis.rebuild import lose_everything_but_the_record
from integration_tests.nemesis.scene import FaultError, Scene
from integration_tests.nemesis.schedule import Act
from integration_tests.nemesis.stage import SERVER_SECONDS
from services.contracts import topics
from services.local.waiting import poll_until

GROUP_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
"""What the operator's page promises for SIGTERM."""
TAKEOVER_SECONDS_MAX = 120.0


def _kill(scene: Scene, act: Act) -> None:
    with scene.stage.lock:
        scene.stage.system.process(act.target).kill()


def _kill_for(scene: Scene, act: Act) -> None:
    """Kill and keep down; then start again, with what it kept on disk."""
    scene.stage.take_down(act.target, grace=False)
    time.sleep(act.duration_s)
    scene.stage.bring_up(act.target)


def _stop(scene: Scene, act: Act) -> None:
    """SIGTERM: it must end with 0, in the time that is promised, and is then started again."""
    code = scene.stage.take_down(act.target, grace=True)
    time.sleep(act.duration_s)
    scene.stage.bring_up(act.target)
    if code != 0:
        message = f"{act.target} ended with {code} on SIGTERM, not with 0 in {STOP_SECONDS_MAX} s"
        raise FaultError(message)


def _kill_and_be_replaced(scene: Scene, act: Act) -> None:
    """Kill a worker and keep it down until the others own and serve every partition."""
    scene.stage.take_down(act.target, grace=False)
    others = [name for name in scene.stage.workers if name != act.target]

    def taken_over() -> bool:
        owned: set[str] = set()
        for name in others:
            status = scene.stage.system.worker_status(name)
            partitions = status.get("partitions")
            if status.get("ready") and isinstance(partitions, dict):
                owned |= {number for number, part in partitions.items() if part["ready"]}
        return len(owned) == topics.PARTITIONS

    poll_until(taken_over, timeout_seconds=TAKEOVER_SECONDS_MAX, what="the others took over")
    time.sleep(act.duration_s)
    scene.stage.bring_up(act.target)


def _pause(scene: Scene, act: Act) -> None:
    with scene.stage.lock:
        process = scene.stage.system.process(act.target)
        process.signal(signal.SIGSTOP)
    time.sleep(act.duration_s)
    process.signal(signal.SIGCONT)


def _swizzle(scene: Scene, act: Act) -> None:
    """Stop a random part of all processes one by one, and let them go on in another order."""
    rng = random.Random(f"swizzle/{act.at_s}")
    with scene.stage.lock:
        pids = [scene.stage.pid(name) for name in scene.stage.names] + [scene.stage.redis.pid]
    if scene.stage.kafka is not None:
        pids.append(scene.stage.kafka.pid)
    struck = rng.sample(pids, rng.randint(2, len(pids) - 1))
    pause = act.duration_s / (2 * len(struck))
    for number in (signal.SIGSTOP, signal.SIGCONT):
        rng.shuffle(struck)
        for pid in struck:
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            time.sleep(pause)


def _join(scene: Scene, act: Act) -> None:
    """A further worker joins, works for a while, and leaves by SIGTERM."""
    scene.stage.bring_up(act.target)
    poll_until(
        lambda: scene.stage.system.worker_status(act.target).get("ready"),
        timeout_seconds=120,
        what=f"{act.target} has joined",
    )
    time.sleep(act.duration_s)
    code = scene.stage.take_down(act.target, grace=True)
    if code != 0:
        message = f"{act.target} left with {code}"
        raise FaultError(message)


def _kill_broker(scene: Scene, act: Act) -> None:
    assert scene.stage.kafka is not None
    scene.stage.kafka.kill()
    time.sleep(act.duration_s)
    scene.stage.kafka.start(SERVER_SECONDS)


def _stop_broker(scene: Scene, act: Act) -> None:
    assert scene.stage.kafka is not None
    scene.stage.kafka.stop()
    time.sleep(act.duration_s)
    scene.stage.kafka.start(SERVER_SECONDS)


def _pause_broker(scene: Scene, act: Act) -> None:
    assert scene.stage.kafka is not None
    _pause_group(scene.stage.kafka.pid, act.duration_s)


def _pause_redis(scene: Scene, act: Act) -> None:
    _pause_group(scene.stage.redis.pid, act.duration_s)


def _pause_group(pid: int, seconds: float) -> None:
    os.killpg(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.killpg(pid, signal.SIGCONT)


def _lose_redis(scene: Scene, act: Act) -> None:
    """Kill Redis; it comes back empty, as a machine without a disk does."""
    scene.stage.redis.kill()
    for snapshot in scene.stage.redis.data_directory.glob("dump.rdb*"):
        snapshot.unlink()
    time.sleep(act.duration_s)
    scene.stage.redis.start()


def _kill_redis(scene: Scene, act: Act) -> None:
    """Kill Redis; it comes back with its snapshot, of whatever age."""
    scene.stage.redis_client().save()
    time.sleep(act.duration_s / 2)
    scene.stage.redis.kill()
    time.sleep(act.duration_s / 2)
    scene.stage.redis.start()


def _flush_redis(scene: Scene, _act: Act) -> None:
    scene.stage.redis_client().flushall()


def _cold_start(scene: Scene, act: Act) -> None:
    """Everything is killed at once, then started in a random order, the broker when it comes."""
    scene.stage.all_down()
    time.sleep(act.duration_s)
    scene.stage.all_up(random.Random(f"cold start/{act.at_s}"))


def _delete_group(scene: Scene, _act: Act) -> None:
    """Every worker leaves, the consumer group is deleted, the workers come back."""
    for name in scene.stage.workers:
        scene.stage.take_down(name, grace=True)
    group = f"{scene.stage.prefix.strip('.').lower()}-lifecycle"
    with KafkaAdminClient(bootstrap_servers=scene.stage.bootstrap) as admin:

        def deleted() -> bool:
            try:
                admin.delete_groups([group])
            except KafkaError:
                return False  # members are still being waited for
            return group not in str(admin.list_groups())

        poll_until(deleted, timeout_seconds=GROUP_SECONDS_MAX, what=f"{group} is deleted")
    for name in scene.stage.workers:
        scene.stage.bring_up(name)


def _delete_stores(scene: Scene, _act: Act) -> None:
    """Every worker is killed and loses its local state."""
    for name in scene.stage.workers:
        scene.stage.take_down(name, grace=False)
        scene.stage.delete_store(name)
    for name in scene.stage.workers:
        scene.stage.bring_up(name)


def _delete_index(scene: Scene, act: Act) -> None:
    """An intake is killed and loses its index."""
    scene.stage.take_down(act.target, grace=False)
    scene.stage.delete_store(act.target)
    scene.stage.bring_up(act.target)


FAULTS: dict[str, Callable[[Scene, Act], None]] = {
    "kill": _kill,
    "kill-for": _kill_for,
    "kill-and-be-replaced": _kill_and_be_replaced,
    "stop": _stop,
    "pause": _pause,
    "swizzle": _swizzle,
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
    "lose-all-but-the-record": lose_everything_but_the_record,
    **CLUSTER_FAULTS,
    **INJECTIONS,
}


def strike(scene: Scene, act: Act) -> None:
    """Do one act."""
    FAULTS[act.fault](scene, act)
